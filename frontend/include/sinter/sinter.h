#pragma once

// Everything a program needs: #include <sinter/sinter.h>, namespace st = sinter.
#include <sinter/callbacks.h>
#include <sinter/data_loader.h>
#include <sinter/dataset.h>
#include <sinter/error.h>
#include <sinter/finite_check.h>
#include <sinter/fit.h>
#include <sinter/functions.h>
#include <sinter/idx.h>
#include <sinter/imperative.h>
#include <sinter/loader_position.h>
#include <sinter/nn.h>
#include <sinter/npy.h>
#include <sinter/optim.h>
#include <sinter/permutation.h>
#include <sinter/random.h>
#include <sinter/schedule.h>
#include <sinter/standardizer.h>
#include <sinter/summary.h>
#include <sinter/table.h>
#include <sinter/tensor.h>
#include <sinter/trainer.h>
#include <sinter/value.h>
