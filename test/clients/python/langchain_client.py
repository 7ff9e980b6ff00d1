import importlib.util
import os
from pathlib import Path

# tiktoken would fetch its vocabularies from elsewhere. litellm ships those that it needs here.
TOKENIZERS = Path(importlib.util.find_spec("litellm").origin).parent / "litellm_core_utils" / "tokenizers"
os.environ["TIKTOKEN_CACHE_DIR"] = str(TOKENIZERS)

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from scenario import FLAGGED, SECOND, first, get_weather, scenario

weather_tool = tool(get_weather)


def model_with(**options):
    return ChatOpenAI(model="gpt-5.4-mini", **options)


def turns(model, city):
    bound = model.bind_tools([weather_tool])
    history, texts, deltas = [], [], 0
    for question in (first(city), SECOND):
        history.append(HumanMessage(question))
        answered = False
        while not answered:
            message = None
            for chunk in bound.stream(history):
                deltas += bool(chunk.text)
                message = chunk if message is None else message + chunk
            history.append(message)
            history += [weather_tool.invoke(call) for call in message.tool_calls]
            answered = not message.tool_calls
        texts.append(str(message.text))
    return {"city": city, "turns": texts, "deltas": deltas}


def embeddings():
    """The client counts by itself, and sends arrays of tokens."""
    client = OpenAIEmbeddings(model="text-embedding-3-small")
    documents = client.embed_documents(["Bern", "Basel"])
    assert [len(vector) for vector in documents] == [1_536, 1_536]
    assert max(abs(a - b) for a, b in zip(client.embed_query("Bern"), documents[0], strict=True)) < 1e-6


def blocked():
    chunks = list(model_with(use_responses_api=True).stream(FLAGGED))
    told = [chunk.response_metadata["incomplete_details"]["reason"] for chunk in chunks if "incomplete_details" in chunk.response_metadata]
    return {"shown": "".join(str(chunk.text) for chunk in chunks), "told": ", ".join(told)}


scenario("chat", lambda: turns(model_with(), "Bern"))
scenario("use_responses_api", lambda: turns(model_with(use_responses_api=True), "Basel"))
scenario("reasoning", lambda: turns(model_with(reasoning={"effort": "low", "summary": "auto"}), "Chur"))
scenario("use_previous_response_id", lambda: turns(model_with(use_previous_response_id=True), "Thun"))
scenario("OpenAIEmbeddings", embeddings)
scenario("blocked", blocked)
