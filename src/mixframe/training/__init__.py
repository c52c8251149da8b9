"""Training: one loop and the data it is fed; pretrain, posttrain and finetune are its users."""
