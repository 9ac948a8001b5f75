"""asyncua gives any session the subscriptions of any other; a real server gives them to their owner only.

Who may have a subscription transferred is the user of its session, and of an anonymous one the client with the same
ApplicationUri (Part 4, 5.14.7).
"""

from collections.abc import Callable
from typing import Any

from asyncua import Server, ua
from asyncua.server.internal_session import InternalSession


def own_subscriptions(server: Server) -> None:
    """Let the sessions of this server transfer only what belongs to them.  To be called before it listens."""
    owners: dict[int, tuple[object, ...]] = {}

    class OwnSession(InternalSession):
        application_uri: str | None = None

        @property
        def owner(self) -> tuple[object, ...]:
            return (self.user.name,) if self.user.name else ("", self.application_uri)

        async def create_session(
            self, params: ua.CreateSessionParameters, sockname: tuple[str, int] | None = None
        ) -> ua.CreateSessionResult:
            self.application_uri = params.ClientDescription.ApplicationUri
            return await super().create_session(params, sockname)

        async def create_subscription(
            self, params: ua.CreateSubscriptionParameters, *given: Any, **more: Any
        ) -> ua.CreateSubscriptionResult:
            result = await super().create_subscription(params, *given, **more)
            owners[result.SubscriptionId] = self.owner
            return result

        async def transfer_subscriptions(  # type: ignore[override]  # as in asyncua: the server side needs the answer
            self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
        ) -> list[ua.TransferResult]:
            results = []
            for number in params.SubscriptionIds:
                if owners.get(number, self.owner) != self.owner:
                    results.append(ua.TransferResult(ua.StatusCode(ua.UInt32(ua.StatusCodes.BadUserAccessDenied))))
                    continue
                one = ua.TransferSubscriptionsParameters([number], params.SendInitialValues)
                results += await super().transfer_subscriptions(one, callback)
            return results

    inner = server.iserver

    def create_session(name: str, user: Any = None, external: bool = False) -> InternalSession:
        given = {} if user is None else {"user": user}
        return OwnSession(inner, inner.aspace, inner.subscription_service, name, external=external, **given)

    inner.create_session = create_session  # type: ignore[method-assign]
