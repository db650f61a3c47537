#pragma once

// Everything a program needs: #include <sinter/sinter.h>, namespace st = sinter.
#include <sinter/activations.h>
#include <sinter/data_loader.h>
#include <sinter/dataset.h>
#include <sinter/error.h>
#include <sinter/functions.h>
#include <sinter/idx.h>
#include <sinter/loader_position.h>
#include <sinter/losses.h>
#include <sinter/nn.h>
#include <sinter/nn_activations.h>
#include <sinter/npy.h>
#include <sinter/optim.h>
#include <sinter/optim_combine.h>
#include <sinter/permutation.h>
#include <sinter/random.h>
#include <sinter/safetensors.h>
#include <sinter/saved_net.h>
#include <sinter/state_dict.h>
#include <sinter/summary.h>
#include <sinter/tensor.h>
#include <sinter/trainer.h>
#include <sinter/value.h>
