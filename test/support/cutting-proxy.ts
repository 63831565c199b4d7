// A TCP proxy that stands before PostgreSQL and cuts a connection at the n-th packet, or all of them when told.

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Cut {
  /** What the client sends, or what the server answers. */
  readonly direction: 'asked' | 'answered';
  /** Packets in that direction that pass before. */
  readonly after: number;
  /** Whether the packet that is met still arrives. */
  readonly delivered: boolean;
}

interface Pair {
  readonly inside: Socket;
  readonly outside: Socket;
}

export class CuttingProxy implements AsyncDisposable {
  readonly port: number;
  /** Connections that were cut. */
  cuts = 0;
  /** Packets that came so far. */
  readonly packets = { asked: 0, answered: 0 };
  /** Called for every packet, before it goes on. */
  onPacket: () => void = () => undefined;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #cut: Cut | null = null;
  #left = 0;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** @param upstream where PostgreSQL listens: options of net.connect */
  static async start(upstream: { host: string; port: number } | { path: string }): Promise<CuttingProxy> {
    const server = createServer({ allowHalfOpen: false }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new CuttingProxy(server);
    server.on('connection', (inside) => proxy.#join({ inside, outside: connect(upstream) }));
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const pair of this.#pairs) sever(pair);
    await closed;
  }

  arm(cut: Cut): void {
    this.#cut = cut;
    this.#left = cut.after;
  }

  disarm(): void {
    this.#cut = null;
  }

  /** Cuts every connection there is. */
  cutAll(): void {
    for (const pair of this.#pairs) {
      this.cuts += 1;
      sever(pair);
    }
  }

  #join(pair: Pair): void {
    const { inside, outside } = pair;
    this.#pairs.add(pair);
    // Small packets one after another would wait for each other's acknowledgement.
    inside.setNoDelay(true);
    outside.setNoDelay(true);
    for (const [from, to, direction] of [
      [inside, outside, 'asked'],
      [outside, inside, 'answered'],
    ] as const) {
      from.on('data', (bytes: Buffer) => {
        this.packets[direction] += 1;
        this.onPacket();
        if (!this.#meets(direction)) {
          to.write(bytes);
          return;
        }
        this.cuts += 1;
        if (this.#cut?.delivered === true) to.write(bytes, () => setTimeout(() => sever(pair), 2));
        else sever(pair);
        this.#cut = null;
      });
      // Both ends hear of a cut; what they make of it is what is tested.
      from
        .on('error', () => undefined)
        .on('close', () => {
          this.#pairs.delete(pair);
          to.destroy();
        });
    }
  }

  #meets(direction: Cut['direction']): boolean {
    if (this.#cut?.direction !== direction) return false;
    this.#left -= 1;
    return this.#left < 0;
  }
}

function sever({ inside, outside }: Pair): void {
  if (!inside.destroyed) inside.resetAndDestroy();
  outside.destroy();
}
