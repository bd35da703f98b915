"""(a) A byte pass-through in aiohttp: nothing is parsed, nothing is known. The least that a proxying Python server
pays."""

import uvloop
from aiohttp import ClientSession, TCPConnector, web

from benchmarks.baselines.serving import arguments, listening_socket, ready

_UPSTREAM = web.AppKey("upstream", str)
_SESSION = web.AppKey("session", ClientSession)


async def chat(request: web.Request) -> web.StreamResponse:
    """The request's bytes up, the reply's bytes down."""
    session, url = request.app[_SESSION], request.app[_UPSTREAM]
    headers = {"authorization": "Bearer any", "content-type": "application/json"}
    async with session.post(f"{url}/chat/completions", data=await request.read(), headers=headers) as reply:
        response = web.StreamResponse(status=reply.status, headers={"content-type": reply.content_type})
        await response.prepare(request)
        async for piece in reply.content.iter_any():
            await response.write(piece)
        await response.write_eof()
    return response


async def build(upstream_url: str) -> web.Application:
    application = web.Application()
    application[_UPSTREAM] = upstream_url
    application[_SESSION] = ClientSession(connector=TCPConnector(limit=0))
    application.router.add_post("/chat/completions", chat)
    application.on_startup.append(lambda _application: ready())
    application.on_cleanup.append(lambda running: running[_SESSION].close())
    return application


def main() -> None:
    given = arguments("The byte pass-through.")
    web.run_app(
        build(given.upstream),
        sock=listening_socket(given.port),
        print=None,
        access_log=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
