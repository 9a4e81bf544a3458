"""What the application tells the rest of the world."""

from layerkit import Payload


class UserCreated(Payload, event_type="user.created"):
    """Tell that somebody has registered; who, is for those to look up who may know."""

    id: int
