"""Reasons: why something is refused, what that means, and what to do about it."""

REASONS: dict[str, str] = {
    "bad_identity": "An id is too long or holds control characters; mend the sender.",
    "bad_json": "The payload is no JSON; look at its bytes and mend the sender.",
    "bad_number": "A value is no number; mend the sender, or the route if it is no measurement.",
    "bad_position": "A position lies outside the city; check the order of lon and lat.",
    "bad_shape": "The document has not the shape of its format; check the route's format.",
    "bad_time": "A time cannot be read, or lies before the year 2000; set the Thing's clock.",
    "decoder_error": "Our decoder failed on it; report it, and replay after the fix.",
    "empty": "The payload is empty; the sender cleared a retained message, or is broken.",
    "future": "A time lies more than two minutes ahead; set the Thing's clock.",
    "no_identity": "Nothing tells which Thing it is; name it in the topic or in the route.",
    "no_route": "No route takes the topic; add one to the city file, then replay.",
    "no_timezone": "A time tells no zone; give the route a timezone, then replay.",
    "not_finite": "A value is infinite or NaN; mend the sender.",
    "not_utf8": "The payload is no UTF-8 text; check the route's format.",
    "provision_limit": "The route introduced too many Things in an hour; confirm it.",
    "too_deep": "The JSON is nested too deeply; nothing real is.",
    "too_large": "The message is larger than 256 KiB; only its head was kept.",
    "unknown_format": "Format auto does not recognise the payload; name its format.",
    "unknown_property": "No ObservedProperty has this key; map it in the route (names).",
}
"""Code → one sentence for the operator."""
