"""Tools in the dialects that people have: OpenAI, Anthropic, MCP, LangChain, OpenAPI, Python callables. Pure.

`reading.read_tools` makes `Tool`s of whatever is given, `writing` gives them back in a caller's dialect.
"""
