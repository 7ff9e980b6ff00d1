import base64

from openai import NotFoundError, OpenAI
from pydantic import BaseModel
from scenario import FLAGGED, SECOND, WEATHER, first, scenario

client = OpenAI()
MODEL = "gpt-5.4-mini"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": PARAMETERS,
    }
]


def outputs_of(response):
    return [
        {"type": "function_call_output", "call_id": item.call_id, "output": WEATHER}
        for item in response.output
        if item.type == "function_call"
    ]


def chain():
    asked = client.responses.create(model=MODEL, tools=TOOLS, input=first("Bern"))
    assert asked._request_id.startswith("req_")
    one = client.responses.create(model=MODEL, tools=TOOLS, previous_response_id=asked.id, input=outputs_of(asked))
    again = client.responses.create(model=MODEL, tools=TOOLS, previous_response_id=one.id, input=SECOND)
    deltas = 0
    with client.responses.stream(
        model=MODEL, tools=TOOLS, previous_response_id=again.id, input=outputs_of(again)
    ) as stream:
        for event in stream:
            deltas += event.type == "response.output_text.delta"
        two = stream.get_final_response()
    assert two.status == "completed"
    return {"city": "Bern", "turns": [one.output_text, two.output_text], "deltas": deltas}


def items():
    history = [{"role": "user", "content": first("Basel")}]
    texts = []
    for question in (None, SECOND):
        if question:
            history.append({"role": "user", "content": question})
        with client.responses.stream(model=MODEL, tools=TOOLS, input=history) as stream:
            asked = stream.get_final_response()
        history += [*asked.output, *outputs_of(asked)]
        answer = client.responses.create(model=MODEL, tools=TOOLS, input=history)
        history += answer.output
        texts.append(answer.output_text)
    return {"city": "Basel", "turns": texts}


def conversation():
    conversation_id = client.conversations.create().id
    texts = []
    for question in (first("Chur"), SECOND):
        asked = client.responses.create(model=MODEL, tools=TOOLS, conversation=conversation_id, input=question)
        answer = client.responses.create(
            model=MODEL, tools=TOOLS, conversation=conversation_id, input=outputs_of(asked)
        )
        texts.append(answer.output_text)
    types = [item.type for item in client.conversations.items.list(conversation_id, order="asc")]
    assert types.count("function_call_output") == 2 and types.count("message") == 4, types
    client.conversations.delete(conversation_id)
    try:
        client.conversations.retrieve(conversation_id)
    except NotFoundError:
        return {"city": "Chur", "turns": texts}
    raise AssertionError("the deleted conversation was found")


def parse():
    class Weather(BaseModel):
        city: str
        degrees: float

    answer = client.responses.parse(model=MODEL, input=first("Zug"), text_format=Weather)
    assert isinstance(answer.output_parsed, Weather)


def embeddings():
    asked = client.embeddings.create(model="text-embedding-3-small", input=["Bern", "Basel"])
    floats = client.embeddings.create(model="text-embedding-3-small", input=["Bern", "Basel"], encoding_format="float")
    for one, other in zip(asked.data, floats.data, strict=True):
        assert len(one.embedding) == 1_536
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True)) < 1e-6


def sound():
    """What was spoken is heard: whole in each form, and in a stream."""
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Hello.", response_format="wav"
    ) as speech:
        file = ("speech.wav", b"".join(speech.iter_bytes(4096)))
    text = client.audio.transcriptions.create(model="whisper-1", file=file).text
    srt = client.audio.transcriptions.create(model="whisper-1", file=file, response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> ")
    whole = client.audio.transcriptions.create(
        model="whisper-1", file=file, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert whole.text == text
    assert whole.words[0].word == text.split()[0]
    stream = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True)
    assert "".join(event.delta for event in stream if event.type == "transcript.text.delta") == text


def images():
    """Made whole and as a stream, then changed: from one file, and from two with a mask."""
    asked = {"model": "gpt-image-2", "quality": "low", "prompt": first("Bern")}
    made = client.images.generate(**asked, n=2)
    files = [("weather.png", base64.b64decode(one.b64_json)) for one in made.data]
    stream = client.images.generate(**asked, stream=True, partial_images=1)
    assert [event.type for event in stream] == ["image_generation.partial_image", "image_generation.completed"]
    one = client.images.edit(**asked, image=files[0])
    two = client.images.edit(**asked, image=files, mask=files[0])
    assert two.usage.input_tokens_details.image_tokens > one.usage.input_tokens_details.image_tokens


def blocked():
    """`get_final_response` knows only answers that are completed; the last event has this one."""
    with client.responses.stream(model=MODEL, input=FLAGGED) as stream:
        last = list(stream)[-1]
    return {"shown": last.response.output_text, "told": f"{last.type}: {last.response.incomplete_details.reason}"}


scenario("previous_response_id", chain)
scenario("items with ids", items)
scenario("conversation", conversation)
scenario("parse", parse)
scenario("embeddings", embeddings)
scenario("speech, transcriptions", sound)
scenario("images generate, edit", images)
scenario("blocked", blocked)
