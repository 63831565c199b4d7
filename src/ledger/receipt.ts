// Receipts: C2SP tlog-proof texts, by which one entry is shown to stand in the signed tree, offline.

export interface Receipt {
  readonly index: number;
  /** RFC 6962 audit path, from the leaf upwards. */
  readonly path: readonly Buffer[];
  /** The signed note of the tree. */
  readonly checkpoint: string;
}

export function encodeReceipt(receipt: Receipt): string {
  const path = receipt.path.map((hash) => `${hash.toString('base64')}\n`).join('');
  return `c2sp.org/tlog-proof@v1\nindex ${receipt.index}\n${path}\n${receipt.checkpoint}`;
}
