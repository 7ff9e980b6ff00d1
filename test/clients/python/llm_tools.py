def get_weather(city: str) -> str:
    """The weather of a city"""
    return "sunny, 21 degrees"
