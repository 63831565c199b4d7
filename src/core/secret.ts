// A secret that stands elsewhere (an environment variable, a file): wherever settings are shown or written down, it is its reference.

export class Secret {
  /** As it stands in the settings, e.g. `${MASTODON_TOKEN}`. */
  readonly reference: string;
  readonly #read: () => string;

  constructor(reference: string, read: () => string) {
    this.reference = reference;
    this.#read = read;
  }

  /** @returns the secret itself, as it is now: never to be shown, logged or kept. @throws InputError naming the reference */
  reveal(): string {
    return this.#read();
  }

  toJSON(): string {
    return this.reference;
  }
}
