"""(b) The usual server, written as the three libraries' documentation teaches: FastAPI, a LangGraph graph streamed with
`stream_mode="messages"`, ChatOpenAI made once (its HTTP pool with it), StreamingResponse, one uvicorn worker on uvloop
and httptools. No authentication, no storage, no guardrail, no limit: what a team has on its first day."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, SecretStr

from benchmarks.baselines.serving import arguments, listening_socket, ready

Graph = CompiledStateGraph[MessagesState, None, MessagesState, MessagesState]


class ChatMessage(BaseModel):
    role: str
    content: str


class ChatBody(BaseModel):
    messages: list[ChatMessage]


def build_graph(upstream_url: str) -> Graph:
    """One node that calls the model."""
    model = ChatOpenAI(model="simulated", base_url=upstream_url, api_key=SecretStr("any"), streaming=True)

    async def call_model(state: MessagesState) -> dict[str, list[BaseMessage]]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("call_model", call_model)
    builder.add_edge(START, "call_model")
    builder.add_edge("call_model", END)
    return builder.compile()


def build_app(upstream_url: str) -> FastAPI:
    graph = build_graph(upstream_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await ready()
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/chat/stream")
    async def chat(body: ChatBody) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            state: Any = {"messages": [message.model_dump() for message in body.messages]}
            async for chunk, _metadata in graph.astream(state, stream_mode="messages"):
                if isinstance(chunk, AIMessageChunk) and chunk.content:
                    yield f"data: {json.dumps({'text': chunk.content})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


def main() -> None:
    given = arguments("The usual FastAPI and LangGraph server.")
    config = uvicorn.Config(build_app(given.upstream), loop="uvloop", http="httptools", log_level="warning")
    uvicorn.Server(config).run(sockets=[listening_socket(given.port)])


if __name__ == "__main__":
    main()
