// Plain text from a feed's HTML: what a reader would see, with a line for each block. The HTML itself stays in the slice.

import { Parser } from 'htmlparser2';

const BLOCKS = new Set(
  'address article aside blockquote dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section table td th tr ul'.split(
    ' ',
  ),
);
const UNSEEN = new Set(['script', 'style', 'template', 'noscript', 'head', 'title', 'iframe', 'object']);

/** @returns the text, blocks on lines of their own, with at most one empty line between them */
export function plainText(html: string): string {
  const parts: string[] = [];
  let breaks = 0;
  let unseen = 0;
  let preformatted = 0;
  let atLineStart = true;
  const breakLine = (lines: number): void => {
    breaks = Math.max(breaks, lines);
  };
  const write = (text: string): void => {
    const shown = preformatted > 0 ? text : text.replace(/[\t\n\f\r ]+/g, ' ');
    if (unseen > 0 || shown === '' || (shown === ' ' && (atLineStart || breaks > 0))) return;
    if (parts.length > 0 && breaks > 0) parts.push('\n'.repeat(breaks));
    parts.push((atLineStart || breaks > 0) && preformatted === 0 ? shown.trimStart() : shown);
    breaks = 0;
    atLineStart = false;
  };
  const parser = new Parser({
    onopentag(name, attributes) {
      if (UNSEEN.has(name)) unseen += 1;
      else if (name === 'br') breakLine(Math.min(breaks + 1, 2));
      else if (BLOCKS.has(name)) breakLine(name === 'p' ? 2 : 1);
      if (name === 'pre') preformatted += 1;
      if (name === 'li') write('• ');
      if (name === 'img' && attributes.alt) write(`[${attributes.alt}]`);
    },
    ontext: write,
    onclosetag(name) {
      if (UNSEEN.has(name)) unseen -= 1;
      if (name === 'pre') preformatted -= 1;
      if (BLOCKS.has(name)) breakLine(name === 'p' ? 2 : 1);
    },
  });
  parser.end(html);
  return parts
    .join('')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim();
}
