"""What goes wrong with documents."""

from gateway.errors import GatewayError


class RenderingError(GatewayError):
    """A document cannot be set."""

    reason = "rendering_failed"
