/** The request with the output cap that its hold carries, under the name that the visitor used for it. */
export function capped(body: Record<string, unknown>, capTokens: number): Record<string, unknown> {
  const name = body.max_tokens === undefined || body.max_tokens === null ? 'max_completion_tokens' : 'max_tokens';
  return { ...body, [name]: capTokens };
}
