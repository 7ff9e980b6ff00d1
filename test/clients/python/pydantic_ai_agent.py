from pydantic_ai import Agent
from pydantic_ai.embeddings import Embedder
from scenario import FLAGGED, SECOND, first, get_weather, scenario

agent = Agent("openai:gpt-5.4-mini", instructions="Answer in one sentence.", tools=[get_weather])


async def history():
    one = await agent.run(first("Bern"))
    deltas, text = 0, ""
    async with agent.run_stream(SECOND, message_history=one.all_messages()) as result:
        async for delta in result.stream_text(delta=True, debounce_by=None):
            deltas, text = deltas + 1, text + delta
    return {"city": "Bern", "turns": [one.output, text], "deltas": deltas}


async def embeddings():
    result = await Embedder("openai:text-embedding-3-small").embed_documents(["Bern", "Basel"])
    assert [len(vector) for vector in result.embeddings] == [1_536, 1_536]


async def blocked():
    shown, told = "", "nothing"
    try:
        async with agent.run_stream(FLAGGED) as result:
            async for delta in result.stream_text(delta=True, debounce_by=None):
                shown += delta
    except Exception as error:
        told = type(error).__name__
    return {"shown": shown, "told": told}


scenario("message_history", history)
scenario("Embedder", embeddings)
scenario("blocked", blocked)
