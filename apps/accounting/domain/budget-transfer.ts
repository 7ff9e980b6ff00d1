import { periodOfDate } from './period.js';
import { campaignAccount, keyAccount, OPERATOR, type Transfer } from './transfer.js';

interface BudgetChange {
  campaignId: string;
  /** Nano-dollars that the budget gains; negative: that it loses. */
  deltaNano: bigint;
  /** The version that the change makes of the account; 0 for the first budget. It makes the transfer's id. */
  version: number;
  at: Date;
}

/** The operator funds a campaign, or takes back what it does not need. No change, no transfer. */
export function campaignBudgetTransfers(change: BudgetChange): Transfer[] {
  return move(change, OPERATOR, campaignAccount(change.campaignId), {
    up: 'fund',
    account: change.campaignId,
    keyId: null,
  });
}

/** A campaign grants a key its budget, or gets a reduction back: `expire` where the key's time ended. */
export function keyBudgetTransfers({
  back,
  ...change
}: BudgetChange & { keyId: string; back?: 'return' | 'expire' }): Transfer[] {
  const { campaignId, keyId } = change;
  return move(change, campaignAccount(campaignId), keyAccount(keyId), {
    up: 'grant',
    down: back,
    account: keyId,
    keyId,
  });
}

function move(
  { campaignId, deltaNano, version, at }: BudgetChange,
  from: string,
  to: string,
  what: { up: 'fund' | 'grant'; down?: 'return' | 'expire' | undefined; account: string; keyId: string | null },
): Transfer[] {
  if (deltaNano === 0n) return [];
  const kind = deltaNano > 0n ? what.up : (what.down ?? 'return');
  return [
    {
      id: `${kind}:${what.account}:${version}`,
      kind,
      requestId: null,
      keyId: what.keyId,
      campaignId,
      at,
      period: periodOfDate(at),
      budgetDay: null,
      detail: {},
      journalId: null,
      entries: [
        { account: from, amountNano: -deltaNano },
        { account: to, amountNano: deltaNano },
      ],
    },
  ];
}
