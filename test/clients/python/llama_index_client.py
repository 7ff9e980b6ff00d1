from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI, OpenAIResponses
from scenario import FLAGGED, SECOND, first, get_weather, scenario


async def turns(llm, city):
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    texts, deltas = [], 0
    for question in (first(city), SECOND):
        handler = agent.run(question, memory=memory)
        async for event in handler.stream_events():
            deltas += isinstance(event, AgentStream) and bool(event.delta)
        texts.append(str(await handler))
    return {"city": city, "turns": texts, "deltas": deltas}


def embeddings():
    client = OpenAIEmbedding(model="text-embedding-3-small")
    vectors = client.get_text_embedding_batch(["Bern", "Basel"])
    assert [len(vector) for vector in vectors] == [1_536, 1_536]
    assert len(OpenAIEmbedding().get_query_embedding("Bern")) == 1_536


def blocked():
    chunks = list(OpenAIResponses(model="gpt-5.4-mini").stream_complete(FLAGGED))
    return {"shown": "".join(chunk.delta or "" for chunk in chunks), "told": f"{chunks[-1].raw.type}" if chunks else "an empty answer"}


scenario("OpenAI", lambda: turns(OpenAI(model="gpt-5.4-mini"), "Bern"))
scenario("OpenAIResponses", lambda: turns(OpenAIResponses(model="gpt-5.4-mini"), "Basel"))
scenario("OpenAIEmbedding", embeddings)
scenario("blocked", blocked)
