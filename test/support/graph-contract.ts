// What the platforms of Meta have in common for the contract suite and the fuzz.

import { type CollectorContract, type ShownItem, TOKEN_VARIABLE } from './collector-stage.ts';
import { FakeGraph, type FakeNode, type GraphStyle, graphError } from './graph.ts';

/** Expired token, lacking permission, used-up limit, unknown error: what the documentation of error handling says. */
const REFUSALS: Readonly<Record<number, readonly [code: number, subcode: number | null]>> = {
  401: [190, 463],
  403: [200, null],
  429: [32, null],
  500: [1, null],
};

export function metaContract(of: {
  readonly platform: string;
  /** As the settings name it. */
  readonly account: string;
  readonly style: GraphStyle;
  readonly edge: string;
  readonly threadDepth?: number;
  readonly deletedItemsAre?: 'access-lost';
  /** A list of the account in which something else stands all the time. */
  readonly besides?: string;
  /** @param post the own number of the post that a reply is under; null for a post */
  readonly idOf: (number: number, post: string | null, account: string) => string;
}): CollectorContract {
  return {
    pageSize: 2,
    threadDepth: of.threadDepth ?? 2,
    tellsDeletions: true,
    ...(of.deletedItemsAre === undefined ? {} : { deletedItemsAre: of.deletedItemsAre }),
    readsAllAfter: 24,
    settings: (origin) => ({
      platform: of.platform,
      account: of.account,
      service: origin,
      token: `\${${TOKEN_VARIABLE}}`,
    }),
    open(origin, items, account) {
      const graph = FakeGraph.at(origin, of.style);
      // Each source is an account of its own.
      const prefix = [...account].reduce(
        (sum, sign) => (sum * 31 + (sign.codePointAt(0) as number)) % 1e9,
        7,
      );
      graph.city = { id: String(prefix), name: 'City of Example' };
      const besides = [graph.city.id];
      if (of.besides !== undefined)
        besides.push(graph.add(`${prefix}-besides`, 'Here all the time', { edge: of.besides }).id);
      const nodes = new Map<ShownItem, FakeNode>();
      const nodeOf = (item: ShownItem): FakeNode => {
        const known = nodes.get(item);
        if (known !== undefined) return known;
        const parent = item.parent === null ? undefined : nodeOf(item.parent);
        let top = parent;
        while (top?.parent !== undefined) top = top.parent;
        const number = prefix * 1e5 + nodes.size;
        const id = of.idOf(number, top?.id.split('_').at(-1) ?? null, graph.city.id);
        const node = graph.add(id, item.text, parent === undefined ? { edge: of.edge } : { parent });
        nodes.set(item, node);
        return node;
      };
      /** Nodes stand in the order of time: what is older has to be met first. */
      const meet = (): void => {
        for (const item of items.filter(({ parent }) => parent === null).reverse()) nodeOf(item);
        for (const item of items) nodeOf(item);
      };
      return {
        besides,
        platformId(item) {
          meet();
          return nodeOf(item).id;
        },
        asks(url) {
          const [, , id, edge] = url.pathname.split('/');
          if (edge === undefined) return id === of.account ? 'account' : 'look-up';
          // The list is also asked, for one item, whether it still answers.
          if (url.searchParams.get('limit') === '1') return 'look-up';
          return edge === of.edge ? 'list' : of.style.threads.includes(edge) ? 'thread' : 'account';
        },
        answer(url, headers) {
          meet();
          graph.pageSize = url.pathname.endsWith(of.edge) ? 2 : 100;
          const there = new Set(items);
          for (const [item, node] of nodes) {
            node.deleted = !there.has(item);
            node.unlisted = item.unlisted;
            node.text = item.text;
          }
          // The fuzz leaves request headers out.
          return graph.answer(url, { authorization: `Bearer ${TOKEN_VARIABLE}`, ...headers });
        },
        refusal(status) {
          const [code, subcode] = REFUSALS[status] as (typeof REFUSALS)[number];
          return graphError(code, subcode, status);
        },
      };
    },
  };
}
