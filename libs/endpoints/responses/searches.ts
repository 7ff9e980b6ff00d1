import type { Request } from '../endpoint.js';
import { isObject, type JsonObject } from '../json.js';
import { readKept } from './kept.js';
import { toolsIn } from './parts.js';
import { SEARCH_TOOLS } from './tools.declaration.js';

const isSearch = (tool: unknown): boolean => isObject(tool) && SEARCH_TOOLS.includes(tool.type as string);
const searchesIn = (tools: unknown): boolean => Array.isArray(tools) && tools.some(isSearch);

/** Whether any tool of a request searches the web, or one that it names without bringing it: an upstream may have it. */
export const searches = (body: JsonObject): boolean => toolsIn(body).some(searchesIn) || isNamed(body.tool_choice);

/** So often at most: `most` is what the campaign pays for. */
export function withSearches(request: Request, most: number): Request {
  const json = request.body.json as JsonObject;
  const asked = json.max_tool_calls as number | undefined;
  const calls = Math.min(asked ?? most, most);
  return {
    ...request,
    body: { ...request.body, json: { ...json, max_tool_calls: calls } },
    searchCalls: calls,
    facts: { ...request.facts, searchCalls: calls },
    adjusted: calls === asked ? request.adjusted : [...request.adjusted, 'max_tool_calls'],
  };
}

/** The same without the tool. null: the visitor wants nothing else, or wants just that one. */
export function withoutSearches(request: Request): Request | null {
  const { kept, ...body } = request.body;
  const json = body.json as JsonObject;
  const tools = withoutIn(json.tools);
  const { ownFrom } = readKept(kept);
  // An item that brought only this tool brings nothing.
  const remaining = (items: readonly JsonObject[]): JsonObject[] =>
    items.flatMap((item) => {
      if (!searchesIn(item.tools)) return [item];
      const left = withoutIn(item.tools);
      return left.length > 0 ? [{ ...item, tools: left }] : [];
    });
  const before = remaining((json.input as JsonObject[]).slice(0, ownFrom));
  const own = remaining((json.input as JsonObject[]).slice(ownFrom));
  const others = [tools, ...[...before, ...own].map((item) => item.tools)];
  if (isNamed(json.tool_choice) || others.every((list) => !Array.isArray(list) || list.length === 0)) return null;
  const { tools: _, ...without } = json;
  return {
    ...request,
    body: {
      ...body,
      json: { ...(tools.length > 0 ? { ...json, tools } : without), input: [...before, ...own] },
      kept: { ...kept, ownFrom: before.length },
    },
    searches: false,
    adjusted: [...request.adjusted, 'tools.web_search'],
  };
}

const withoutIn = (tools: unknown): unknown[] =>
  Array.isArray(tools) ? (tools as unknown[]).filter((tool) => !isSearch(tool)) : [];

function isNamed(choice: unknown): boolean {
  if (!isObject(choice)) return false;
  return isSearch(choice) || (choice.type === 'allowed_tools' && searchesIn(choice.tools));
}
