// What a trial of a bucket came to.

export interface Trial {
  /** Whether the property is there; null where the trial could not tell. */
  readonly held: boolean | null;
  /** What happened, as a phrase, with the service's own words. */
  readonly saw: string;
}

export const held = (saw: string): Trial => ({ held: true, saw });
export const notHeld = (saw: string): Trial => ({ held: false, saw });
export const untold = (saw: string): Trial => ({ held: null, saw });
