import type { TransferView } from '#libs/contracts/admin/answers.js';
import { formatUsd } from '#libs/money/nano.js';
import { keyAccount, type Transfer } from './transfer.js';

/** A transfer as the ledger has it, with its entries. */
export type BookedTransfer = Pick<Transfer, 'id' | 'kind' | 'requestId' | 'keyId' | 'at' | 'detail' | 'entries'>;

/** A transfer as the admin API shows it. `amount_usd` is the change of the key's own account. */
export function showTransfer(transfer: BookedTransfer): TransferView {
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
