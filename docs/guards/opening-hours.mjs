/**
 * An example of a guard of your own: a chat for a workshop answers in the workshop's hours only, and keeps the room's code to
 * itself. Name it in DAYPASS_CONFIG:
 *
 *   guards:
 *     - name: workshop
 *       type: module
 *       path: ./opening-hours.mjs
 *       options: { from_hour: 9, to_hour: 18, code: "1234-workshop" }
 *
 * `content`: what is judged, `{ kind: 'text', text }` or `{ kind: 'image', url }` each.
 * `context`: `{ direction: 'input' | 'output', request, key, campaign, model, options }`.
 * Returns `{ flagged, categories?, scores?, redactions?: [{ find, replace }] }`. What it throws, and an answer of another
 * shape, close the call. An error with the `name` `GuardUnavailable`, and waiting for somebody beyond `timeout_ms`, are no
 * verdict: the campaign's `on_unavailable` decides then.
 */
export function check(content, { direction, options, now = new Date() }) {
  const hour = now.getUTCHours();
  if (direction === 'input' && (hour < options.from_hour || hour >= options.to_hour)) {
    return { flagged: true, categories: ['workshop/closed'] };
  }
  const holdsCode = content.some(({ text }) => text?.includes(options.code));
  return { flagged: false, redactions: holdsCode ? [{ find: options.code, replace: '[code]' }] : [] };
}
