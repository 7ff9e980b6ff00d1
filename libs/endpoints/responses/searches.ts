import type { Request } from '../endpoint.js';
import { isObject, type JsonObject } from '../json.js';
import { withDrawings } from './drawing.js';
import { toolsIn } from './parts.js';
import { named, withoutTools } from './tools.js';
import { SEARCH_TOOLS } from './tools.declaration.js';

const isSearch = (tool: unknown): boolean => isObject(tool) && SEARCH_TOOLS.includes(tool.type as string);

/** Whether any tool of a request searches the web, or one that it names without bringing it: an upstream may have it. */
export const searches = (body: JsonObject): boolean =>
  toolsIn(body).flat().some(isSearch) || named(body.tool_choice, isSearch);

/** So often at most: `most` is what the campaign pays for. The provider counts searches and images together. */
export function withSearches(request: Request, most: number): Request {
  const json = request.body.json as JsonObject;
  const asked = json.max_tool_calls as number | undefined;
  const together = Math.max(most, request.drawing?.calls ?? 0);
  const calls = Math.min(asked ?? together, together);
  return withDrawings(
    {
      ...request,
      body: { ...request.body, json: { ...json, max_tool_calls: calls } },
      searchCalls: calls,
      facts: { ...request.facts, searchCalls: calls },
      adjusted: calls === asked ? request.adjusted : [...request.adjusted, 'max_tool_calls'],
    },
    calls,
  );
}

/** The same without the tool. null: the visitor wants nothing else, or wants just that one. */
export function withoutSearches(request: Request): Request | null {
  const without = withoutTools(request, isSearch, 'tools.web_search');
  return without && withDrawings({ ...without, searches: false }, without.drawing?.calls);
}
