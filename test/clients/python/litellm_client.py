import litellm
from scenario import FLAGGED, SECOND, WEATHER, first, scenario

MODEL = "openai/gpt-5.4-mini"
FUNCTION = {
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def chat():
    messages, texts, deltas = [], [], 0
    for question in (first("Bern"), SECOND):
        messages.append({"role": "user", "content": question})
        answered = False
        while not answered:
            chunks = []
            for chunk in litellm.completion(
                model=MODEL, messages=messages, tools=[{"type": "function", "function": FUNCTION}], stream=True
            ):
                deltas += bool(chunk.choices and chunk.choices[0].delta.content)
                chunks.append(chunk)
            message = litellm.stream_chunk_builder(chunks).choices[0].message
            messages.append(message)
            calls = message.tool_calls or []
            messages += [{"role": "tool", "tool_call_id": call.id, "content": WEATHER} for call in calls]
            answered = not calls
        texts.append(message.content)
    return {"city": "Bern", "turns": texts, "deltas": deltas}


def responses():
    texts, deltas, previous = [], 0, None
    tools = [{"type": "function", **FUNCTION}]
    for question in (first("Basel"), SECOND):
        asked = litellm.responses(model=MODEL, input=question, tools=tools, previous_response_id=previous)
        outputs = [
            {"type": "function_call_output", "call_id": item.call_id, "output": WEATHER}
            for item in asked.output
            if item.type == "function_call"
        ]
        text = ""
        for event in litellm.responses(
            model=MODEL, input=outputs, tools=tools, previous_response_id=asked.id, stream=True
        ):
            if event.type == "response.output_text.delta":
                text, deltas = text + event.delta, deltas + 1
            if event.type == "response.completed":
                previous = event.response.id
        texts.append(text)
    return {"city": "Basel", "turns": texts, "deltas": deltas}


def embeddings():
    data = litellm.embedding(model="openai/text-embedding-3-small", input=["Bern", "Basel"]).data
    assert [len(one["embedding"]) for one in data] == [1_536, 1_536]


def blocked():
    messages = [{"role": "user", "content": FLAGGED}]
    chunks = list(litellm.completion(model=MODEL, messages=messages, stream=True))
    reason = next(chunk.choices[0].finish_reason for chunk in reversed(chunks) if chunk.choices)
    shown = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return {"shown": shown, "told": f"finish_reason: {reason}"}


scenario("completion", chat)
scenario("responses", responses)
scenario("embedding", embeddings)
scenario("blocked", blocked)
