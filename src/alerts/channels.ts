// The ways by which alerts go out: the log, a webhook and e-mail. Each either took what it was given or throws.

import { createHmac } from 'node:crypto';
import { Agent } from 'undici';
import { ServiceError } from '../core/errors.ts';
import type { AlertSettings } from '../core/settings.ts';
import { checkedConnector, originOf } from '../sources/address.ts';

/** What goes out at once, of one archive. */
export interface Message {
  readonly at: Temporal.Instant;
  readonly subject: string;
  readonly lines: readonly string[];
  /** What a program reads: canonical JSON's values. */
  readonly document: object;
}

export interface Channel {
  readonly name: 'log' | 'webhook' | 'email';
  /** @throws ServiceError without any secret in it */
  send(message: Message, signal: AbortSignal): Promise<void>;
}

const PATIENCE_MS = 20_000;

/** @param say takes the log's lines */
export function openChannels(settings: AlertSettings, say: (line: string) => void): Channel[] {
  const { log, webhook, email } = settings;
  const channels: Channel[] = [];
  if (log)
    channels.push({
      name: 'log',
      async send({ lines }) {
        for (const line of lines) say(line);
      },
    });
  if (webhook !== null)
    channels.push({ name: 'webhook', send: (message, signal) => post(webhook, message, signal) });
  if (email !== null)
    channels.push({ name: 'email', send: (message, signal) => mail(email, email.to, message, signal) });
  return channels;
}

/** Follows no redirect: what is told goes where the settings say, and only that origin may be private. */
async function post(
  { url, secret }: NonNullable<AlertSettings['webhook']>,
  { document, at }: Message,
  signal: AbortSignal,
): Promise<void> {
  const text = url.reveal();
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw failed('webhook', `${url.reference} holds no web address`);
  const address = new URL(text);
  const body = JSON.stringify(document);
  const agent = new Agent({ connect: checkedConnector(new Set([originOf(address)]), PATIENCE_MS) });
  try {
    const { statusCode, body: answer } = await agent.request({
      origin: address.origin,
      path: `${address.pathname}${address.search}`,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'Muniment/1 (alerts)',
        ...(secret === null ? {} : { 'muniment-signature': signature(secret.reveal(), at, body) }),
      },
      body,
      headersTimeout: PATIENCE_MS,
      signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]),
    });
    // Nobody reads it, however long it is.
    answer.on('error', () => undefined).destroy();
    if (statusCode < 200 || statusCode > 299) throw failed('webhook', `it answered ${statusCode}`);
  } catch (error) {
    if (error instanceof ServiceError) throw error;
    throw failed('webhook', codeOf(error));
  } finally {
    await agent.destroy();
  }
}

/** @returns `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a full stop and the body, so that an old message cannot be sent again unseen */
function signature(secret: string, at: Temporal.Instant, body: string): string {
  const seconds = Math.floor(at.epochMilliseconds / 1000);
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

/** Sends plain text. Also for the digest, whose readers may be others. */
export async function mail(
  { smtp, from }: NonNullable<AlertSettings['email']>,
  to: readonly string[],
  { subject, lines }: Message,
  signal: AbortSignal,
): Promise<void> {
  const { createTransport } = await import('nodemailer');
  const url = smtp.reveal();
  if (!URL.canParse(url) || !/^smtps?:/.test(url))
    throw failed('email', `${smtp.reference} holds no smtp address`);
  const transport = createTransport({
    url,
    connectionTimeout: PATIENCE_MS,
    greetingTimeout: PATIENCE_MS,
    socketTimeout: PATIENCE_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const stop = (): void => transport.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await transport.sendMail({
      from,
      to: [...to],
      subject,
      text: `${lines.join('\n\n')}\n`,
      headers: { 'auto-submitted': 'auto-generated' },
    });
  } catch (error) {
    throw failed('email', codeOf(error));
  } finally {
    signal.removeEventListener('abort', stop);
    transport.close();
  }
}

function failed(channel: string, what: string): ServiceError {
  return new ServiceError(`alerts could not be sent by ${channel}: ${what}`, {
    hint: 'See `alerts:` in muniment.yaml, and try it with `muniment alerts test`.',
  });
}

/** What is known of a failure without its message, which may repeat an address or an answer. */
function codeOf(error: unknown): string {
  const { code, responseCode, name } = error as { code?: unknown; responseCode?: unknown; name?: unknown };
  return [code ?? name ?? 'failed', responseCode].filter((part) => part !== undefined).join(' ');
}
