from agents import Agent, OpenAIConversationsSession, OpenAIResponsesCompactionSession, Runner, SQLiteSession, function_tool
from scenario import FLAGGED, SECOND, first, get_weather, scenario

# It names no model, so that the SDK takes its own.
agent = Agent(name="Weather", instructions="Answer in one sentence.", tools=[function_tool(get_weather)])


async def streamed(question, **options):
    result = Runner.run_streamed(agent, question, **options)
    deltas = 0
    async for event in result.stream_events():
        deltas += event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    return result.final_output, deltas


async def items():
    one = await Runner.run(agent, first("Bern"))
    two, deltas = await streamed(one.to_input_list() + [{"role": "user", "content": SECOND}])
    return {"city": "Bern", "turns": [one.final_output, two], "deltas": deltas}


async def chain():
    one = await Runner.run(agent, first("Basel"))
    two, deltas = await streamed(SECOND, previous_response_id=one.last_response_id)
    return {"city": "Basel", "turns": [one.final_output, two], "deltas": deltas}


async def conversation():
    session = OpenAIConversationsSession()
    one = await Runner.run(agent, first("Chur"), session=session)
    two, deltas = await streamed(SECOND, session=session)
    types = [item.get("type", "message") for item in await session.get_items()]
    assert types.count("message") == 4 and types.count("function_call_output") == 2, types
    await session.pop_item()
    assert len(await session.get_items()) == len(types) - 1
    await session.clear_session()
    return {"city": "Chur", "turns": [one.final_output, two], "deltas": deltas}


def compaction(mode, city):
    """Each turn makes the session shorter: by the name of its last response, or by its items."""

    async def work():
        session = OpenAIResponsesCompactionSession(
            city,
            SQLiteSession(city),
            model="gpt-5.4-mini",
            compaction_mode=mode,
            should_trigger_compaction=lambda _: True,
        )
        one = await Runner.run(agent, first(city), session=session)
        kept = [item.get("type", "message") for item in await session.get_items()]
        assert kept == ["message", "compaction"], kept
        two, deltas = await streamed(SECOND, session=session)
        kept = [item.get("type", "message") for item in await session.get_items()]
        assert kept == ["message", "message", "compaction"], kept
        return {"city": city, "turns": [one.final_output, two], "deltas": deltas}

    return work


async def blocked():
    result = Runner.run_streamed(agent, FLAGGED)
    shown, told = "", "nothing"
    try:
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                shown += event.data.delta
    except Exception as error:
        told = type(error).__name__
    return {"shown": shown, "told": told}



scenario("items with ids", items)
scenario("previous_response_id", chain)
scenario("OpenAIConversationsSession", conversation)
scenario("OpenAIResponsesCompactionSession (auto)", compaction("auto", "Thun"))
scenario("OpenAIResponsesCompactionSession (input)", compaction("input", "Zug"))
scenario("blocked", blocked)
