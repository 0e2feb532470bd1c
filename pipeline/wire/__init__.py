"""Codecs of the topics, one module each; every record names the version of its layout.

A record of another version, or one that cannot be read, is an error (`FrameError`, `WatchlistError`, `InputError`) and
never half a value. Readers ignore headers and JSON fields that they do not know.

============  =====================================================================
frames        binary headers and a JPEG; what is refused has a dead-letter reason
watchlist     MessagePack; templates, removals and the heartbeat
alerts        CloudEvents 1.0 in binary mode with JSON data
receipts      JSON
dead_letters  JSON
schema        what the codecs share: version header and the rule for ids
============  =====================================================================
"""
