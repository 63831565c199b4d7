// Cuts an XML feed into its items: the exact text of each <item> or <entry>, and the start tags around it, so that each can be
// read on its own and nothing has to be paired by counting.

import { Parser } from 'htmlparser2';

/** The document is no feed that may be read; the message says why. */
export class UnreadableFeedError extends SyntaxError {}

export interface DecodedText {
  readonly text: string;
  /** Label of the encoding in which the document came. */
  readonly encoding: string;
  /** Bytes of a byte order mark that stand before the text. */
  readonly markLength: number;
}

/**
 * Decodes an XML document: byte order mark first, then the Content-Type's charset, then the XML declaration (RFC 7303 section 3).
 * @throws UnreadableFeedError when the encoding is unknown or the bytes are not in it
 */
export function decodeXml(body: Uint8Array, contentType: string): DecodedText {
  const head = Buffer.from(body.subarray(0, 1024)).toString('latin1');
  const mark = head.startsWith('ï»¿')
    ? 'utf-8'
    : head.startsWith('þÿ')
      ? 'utf-16be'
      : head.startsWith('ÿþ')
        ? 'utf-16le'
        : null;
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1];
  const declared = /^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._:-]+)["']/.exec(head)?.[1];
  const label = mark ?? charset ?? declared ?? 'utf-8';
  try {
    const decoder = new TextDecoder(label, { fatal: true });
    return { text: decoder.decode(body), encoding: decoder.encoding, markLength: mark === 'utf-8' ? 3 : 0 };
  } catch (cause) {
    const message =
      cause instanceof RangeError ? `its encoding “${label}” is unknown` : `its bytes are not valid ${label}`;
    throw new UnreadableFeedError(message, { cause });
  }
}

export type FeedFormat = 'rss' | 'atom';

export interface CutItem {
  /** From `<item` to `</item>`, as it stands. */
  readonly text: string;
  /** Where it begins, in UTF-16 code units of the whole text. */
  readonly start: number;
}

export interface CutFeed {
  readonly format: FeedFormat;
  readonly items: readonly CutItem[];
  /** @returns a whole document with this one item and the namespaces that it stands in */
  wrap(item: CutItem): string;
}

const localName = (name: string): string => name.slice(name.indexOf(':') + 1).toLowerCase();

/** @throws UnreadableFeedError when it is no RSS or Atom, is cut off, or declares entities */
export function cutFeed(text: string): CutFeed {
  const items: CutItem[] = [];
  const path: string[] = [];
  const wrapping: string[] = [];
  let format: FeedFormat | null = null;
  let start = -1;
  let depth = 0;
  let ended = false;
  const isItem = (name: string): boolean => {
    if (format === 'atom') return path.length === 1 && name === 'entry';
    return name === 'item' && path.length === 2 && path[1] === 'channel';
  };
  const parser = new Parser(
    {
      onopentag(qualified) {
        const name = localName(qualified);
        if (format === null) {
          format = formatOf(name, text.slice(0, parser.startIndex));
          wrapping.push(text.slice(parser.startIndex, parser.endIndex + 1), `</${qualified}>`);
        } else if (format === 'rss' && path.length === 1 && name === 'channel') {
          wrapping.splice(
            1,
            wrapping.length - 2,
            text.slice(parser.startIndex, parser.endIndex + 1),
            `</${qualified}>`,
          );
        }
        if (start < 0 && isItem(name)) {
          start = parser.startIndex;
          depth = path.length;
        }
        path.push(name);
      },
      onclosetag(_, isImplied) {
        path.pop();
        const isSelfClosing = isImplied && text[parser.endIndex - 1] === '/' && text[parser.endIndex] === '>';
        if (isImplied && !isSelfClosing)
          throw new UnreadableFeedError('an element in it is not closed, so it is damaged or cut off');
        if (start >= 0 && path.length === depth) {
          items.push({ text: text.slice(start, parser.endIndex + 1), start });
          start = -1;
        }
        if (path.length === 0) ended = true;
      },
    },
    { xmlMode: true, decodeEntities: false },
  );
  parser.end(text);
  if (format === null) throw new UnreadableFeedError('it has no elements');
  if (!ended) throw new UnreadableFeedError('it is cut off');
  const middle = Math.ceil(wrapping.length / 2);
  const before = wrapping.filter((tag) => !tag.startsWith('</')).join('');
  const after = wrapping.slice(middle).join('');
  return { format, items, wrap: (item) => `${before}${item.text}${after}` };
}

/** Longest text before the root element: an XML declaration, comments, a DOCTYPE without rules of its own. */
const LONGEST_PROLOG = 16_384;

function formatOf(root: string, prolog: string): FeedFormat {
  if (prolog.length > LONGEST_PROLOG) throw new UnreadableFeedError('its root element comes too late');
  if (/<!DOCTYPE[^>]*\[/i.test(prolog) || /<!ENTITY/i.test(prolog)) {
    throw new UnreadableFeedError(
      'it declares entities of its own (a DOCTYPE with an internal subset), which can be made to explode',
    );
  }
  if (root === 'rss') return 'rss';
  if (root === 'feed') return 'atom';
  throw new UnreadableFeedError(`its root element is <${root}>, not RSS 2.0 or Atom`);
}
