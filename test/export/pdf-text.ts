// Reads our PDFs back as a reader of the page would copy them: page by page, glyphs through ToUnicode, ActualText
// where it is given. It understands what Muniment writes and no more.

import { inflateSync } from 'node:zlib';

export interface ReadPdf {
  /** Text of each page in drawing order: artifacts and content. */
  pages: string[];
  /** All dictionaries, as written. */
  objects: string[];
  /** PostScript names of the embedded fonts, without their subset tags. */
  fonts: string[];
}

export function readPdf(bytes: Uint8Array): ReadPdf {
  const source = Buffer.from(bytes).toString('latin1');
  const dictionaries = new Map<string, string>();
  const streams = new Map<string, Buffer>();
  for (const match of source.matchAll(/\n(\d+) 0 obj\n/g)) {
    const id = match[1] ?? '';
    const start = (match.index ?? 0) + match[0].length;
    const end = source.indexOf('endobj', start);
    const body = source.slice(start, end);
    const stream = /\nstream\n/.exec(body);
    dictionaries.set(id, stream === null ? body : body.slice(0, stream.index));
    if (stream === null) continue;
    const length = Number(/\/Length (\d+)/.exec(body)?.[1]);
    const data = Buffer.from(
      source.slice(start + stream.index + 8, start + stream.index + 8 + length),
      'latin1',
    );
    streams.set(id, /\/FlateDecode/.test(body.slice(0, stream.index)) ? inflateSync(data) : data);
  }
  const reference = (body: string | undefined, key: string) =>
    new RegExp(`/${key} (\\d+) 0 R`).exec(body ?? '')?.[1] ?? '';
  const kids =
    /\/Kids \[([^\]]*)\]/.exec(
      [...dictionaries.values()].find((each) => each.includes('/Type /Pages')) ?? '',
    )?.[1] ?? '';
  const pages = [...kids.matchAll(/(\d+) 0 R/g)].map(([, id = '']) => {
    const page = dictionaries.get(id);
    const fonts = new Map<string, string[]>();
    for (const [, name = '', font = ''] of (dictionaries.get(reference(page, 'Resources')) ?? '').matchAll(
      /\/(F\d+) (\d+) 0 R/g,
    ))
      fonts.set(
        name,
        toUnicode(streams.get(reference(dictionaries.get(font), 'ToUnicode'))?.toString('latin1') ?? ''),
      );
    return pageText(streams.get(reference(page, 'Contents'))?.toString('latin1') ?? '', fonts);
  });
  const objects = [...dictionaries.values()];
  const fonts = objects.flatMap((each) => /\/FontName \/[A-Z]{6}\+(\S+)/.exec(each)?.[1] ?? []);
  return { pages, objects: [...objects, ...[...streams.values()].map(String)], fonts };
}

function utf16(hexadecimal: string): string {
  return Buffer.from(hexadecimal.replace(/\s/g, ''), 'hex')
    .swap16()
    .toString('utf16le')
    .replace('\ufeff', '');
}

function toUnicode(cmap: string): string[] {
  const texts: string[] = [];
  for (const [, , , list = ''] of cmap.matchAll(/<([0-9a-f]+)> <([0-9a-f]+)> \[([^\]]*)\]/g))
    for (const [, text = ''] of list.matchAll(/<([^>]*)>/g)) texts.push(utf16(text));
  return texts;
}

function pageText(content: string, fonts: Map<string, string[]>): string {
  let font: string[] = [];
  let text = '';
  let silent = false;
  for (const [token, name, actual, shown] of content.matchAll(
    /\/(F\d+) [\d.]+ Tf|\/ActualText <([0-9a-f]*)>|\[([^\]]*)\] TJ|EMC|\bET\b/g,
  )) {
    if (name !== undefined) font = fonts.get(name) ?? [];
    else if (actual !== undefined) {
      text += utf16(actual);
      silent = true;
    } else if (token === 'EMC') silent = false;
    else if (token === 'ET') text += '\n';
    else if (!silent)
      for (const [, id = ''] of (shown ?? '').matchAll(/<([0-9a-f]{4})>/g))
        text += font[Number.parseInt(id, 16)] ?? '';
  }
  return text.replace(/[\u2066-\u2069]/g, '');
}
