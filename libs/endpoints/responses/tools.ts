import type { Request } from '../endpoint.js';
import { isObject, type JsonObject } from '../json.js';
import { readKept } from './kept.js';

/** Which tools of a request are meant. */
export type IsOne = (tool: unknown) => boolean;

/** Whether `tool_choice` names one of these tools, which the request may not even bring. */
export function named(choice: unknown, isOne: IsOne): boolean {
  if (!isObject(choice)) return false;
  return isOne(choice) || (choice.type === 'allowed_tools' && Array.isArray(choice.tools) && choice.tools.some(isOne));
}

/** The same without these tools. null: the visitor wants nothing else, or wants just that one. `told`: what adjusts it. */
export function withoutTools(request: Request, isOne: IsOne, told: string): Request | null {
  const { kept, ...body } = request.body;
  const json = body.json as JsonObject;
  const isAmong = (tools: unknown): boolean => Array.isArray(tools) && tools.some(isOne);
  const withoutIn = (tools: unknown): unknown[] =>
    Array.isArray(tools) ? (tools as unknown[]).filter((tool) => !isOne(tool)) : [];
  const tools = withoutIn(json.tools);
  const { ownFrom } = readKept(kept);
  // An item that brought only these tools brings nothing.
  const remaining = (items: readonly JsonObject[]): JsonObject[] =>
    items.flatMap((item) => {
      if (!isAmong(item.tools)) return [item];
      const left = withoutIn(item.tools);
      return left.length > 0 ? [{ ...item, tools: left }] : [];
    });
  const before = remaining((json.input as JsonObject[]).slice(0, ownFrom));
  const own = remaining((json.input as JsonObject[]).slice(ownFrom));
  const others = [tools, ...[...before, ...own].map((item) => item.tools)];
  if (named(json.tool_choice, isOne) || others.every((list) => !Array.isArray(list) || list.length === 0)) return null;
  const { tools: _, ...without } = json;
  return {
    ...request,
    body: {
      ...body,
      json: { ...(tools.length > 0 ? { ...json, tools } : without), input: [...before, ...own] },
      kept: { ...kept, ownFrom: before.length },
    },
    adjusted: [...request.adjusted, told],
  };
}
