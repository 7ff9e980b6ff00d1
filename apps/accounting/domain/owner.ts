/** The owners in `ledger.balances`. */
export const OPERATOR_TOTAL = 'operator:total';
export const keyOwner = (keyId: string): string => `key:${keyId}`;
export const campaignOwner = (campaignId: string): string => `campaign:${campaignId}`;
/** `day` as `YYYY-MM-DD`, in UTC. */
export const dayOwner = (day: string): string => `operator:day:${day}`;
