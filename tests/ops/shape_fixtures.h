// The functions of the frontend that fixtures are about, by the name that make_ops.py gives them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <sinter/value.h>

namespace sinter::test {

using Apply = std::function<Value(const std::vector<Value>&, const nlohmann::json& attributes)>;
using ApplyMap = std::map<std::string, Apply>;

// Those of tests/fixtures/shape_cases.py.
ApplyMap shape_fixtures();
// Those of tests/fixtures/elementwise_fixtures.py.
ApplyMap elementwise_fixtures();

}  // namespace sinter::test
