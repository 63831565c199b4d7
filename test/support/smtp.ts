// A mail server that takes every message and keeps it: what RFC 5321 asks of one, and no more.

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';

export class MailServer implements AsyncDisposable {
  /** As they came, with headers. */
  readonly messages: { to: string[]; text: string }[] = [];
  /** Whether it refuses every message. */
  refusing = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<MailServer> {
    const server = createServer();
    const mail = new MailServer(server);
    server.on('connection', (socket) => mail.#serve(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return mail;
  }

  get url(): string {
    return `smtp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let rest = '';
    let to: string[] = [];
    let body: string[] | null = null;
    const answer = (line: string): void => void socket.write(`${line}\r\n`);
    answer('220 mail.example ESMTP');
    const command = (line: string): void => {
      if (/^RCPT/i.test(line)) to.push(line.replace(/^.*<(.*)>.*$/, '$1'));
      if (/^DATA/i.test(line)) {
        body = [];
        answer('354 go on');
      } else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n');
      else answer(this.refusing && /^MAIL/i.test(line) ? '451 not now, secret-words' : '250 yes');
    };
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (part: string) => {
      const lines = (rest + part).split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (body === null) command(line);
        else if (line === '.') {
          this.messages.push({ to, text: body.join('\n') });
          to = [];
          body = null;
          answer('250 kept');
        } else body.push(line);
      }
    });
  }
}
