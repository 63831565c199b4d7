// The addresses that the HTML of a status leads to: whole, where the text that a reader sees may be cut short.

import { Parser } from 'htmlparser2';

/** @returns the targets of links in their order, each once; mentions of accounts and hashtags are none */
export function linksOf(html: string): string[] {
  if (!/<a/i.test(html)) return [];
  const links = new Set<string>();
  const parser = new Parser({
    onopentag(name, { href, class: classes, rel }) {
      if (name !== 'a' || href === undefined) return;
      const marks = `${classes ?? ''} ${rel ?? ''}`.split(/\s+/);
      if (marks.some((mark) => mark === 'mention' || mark === 'hashtag' || mark === 'tag')) return;
      if (URL.canParse(href) && /^https?:$/.test(new URL(href).protocol)) links.add(href);
    },
  });
  parser.end(html);
  return [...links];
}
