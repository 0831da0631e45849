"""One file a compression method. A method is imported when a sweep names it."""

METHODS: dict[str, str] = {
    "cast": "bench.methods.cast:Cast",
    "checkpoint": "bench.methods.checkpoint:Checkpoint",
    "depth_prune": "bench.methods.depth_prune:DepthPrune",
    "finetune": "bench.methods.finetune:Finetune",
    "int8_dynamic": "bench.methods.int8_dynamic:Int8Dynamic",
    "layer_copy": "bench.methods.layer_copy:LayerCopy",
    "student": "bench.methods.student:Student",
}
