import { formatUsd } from '#libs/money/nano.js';
import type { BookedTransfer } from '../books/ledger.repository.js';
import { keyAccount } from './transfer.js';

/** A transfer as the admin API tells it; `amount_usd` is what it did to the key's own account. */
export function showTransfer(transfer: BookedTransfer) {
  const own =
    transfer.keyId === null
      ? undefined
      : transfer.entries.find(({ account }) => account === keyAccount(transfer.keyId!));
  return {
    id: transfer.id,
    kind: transfer.kind,
    request_id: transfer.requestId,
    at: transfer.at.toISOString(),
    amount_usd: formatUsd(own?.amountNano ?? 0n),
    entries: transfer.entries.map(({ account, amountNano }) => ({ account, amount_usd: formatUsd(amountNano) })),
    detail: transfer.detail,
  };
}

export type TransferView = ReturnType<typeof showTransfer>;
