"""An embedded Tinker server and its tiny model: train and sample with no key, GPU or network.

To read it from the outside in: `cli` and `serving` (a process and its life), `app` and `api/` (what clients ask),
`service` (what the server knows), `ordering`, `lanes` and `engine_thread` (what runs when), `store` (what stays),
`wire/` (the bytes), `engine/` (the mathematics), `tiny/` (the model).
"""
