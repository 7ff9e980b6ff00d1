"""What the admin API's JSON Schema cannot say, for schemathesis (admin-fuzz.ts)."""

import schemathesis


@schemathesis.hook
def filter_body(context, body):
    """`count` must be the number of `labels`. A merged price and a merged claim page must be whole, and a time from the first
    use must have a length, whatever the campaign had."""
    if not isinstance(body, dict):
        return True
    prices = body.get("tool_prices")
    search = prices.get("web_search") if isinstance(prices, dict) else None
    part = isinstance(search, dict) and search.get("usd_per_request") is None
    endless = body.get("ttl_from") == "first_use" and body.get("ttl_seconds") is None
    page = body.get("claim") if context.operation.method.upper() == "PATCH" else None
    snippet = page.get("snippet") if isinstance(page, dict) else None
    untitled = isinstance(page, dict) and page.get("title") is None
    unlabelled = isinstance(snippet, dict) and (snippet.get("label") is None or snippet.get("text") is None)
    if untitled or unlabelled:
        return False
    return not part and not endless and not ("labels" in body and "count" in body)
