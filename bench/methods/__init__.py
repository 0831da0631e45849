"""One file a compression method. A method is imported when a sweep names it."""

METHODS: dict[str, str] = {
    "cast": "bench.methods.cast:Cast",
    "checkpoint": "bench.methods.checkpoint:Checkpoint",
    "compile": "bench.methods.compile:Compile",
    "depth_prune": "bench.methods.depth_prune:DepthPrune",
    "distill": "bench.methods.distill:Distill",
    "finetune": "bench.methods.finetune:Finetune",
    "fp8": "bench.methods.fp8:Fp8",
    "heal": "bench.methods.heal:Heal",
    "int8_dynamic": "bench.methods.int8_dynamic:Int8Dynamic",
    "layer_copy": "bench.methods.layer_copy:LayerCopy",
    "pretrain": "bench.methods.pretrain:Pretrain",
    "sparse_2_4": "bench.methods.sparse_2_4:Sparse24",
    "student": "bench.methods.student:Student",
    "weight_only": "bench.methods.weight_only:WeightOnly",
}
