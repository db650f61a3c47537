// From a row of the table to a module and its data.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <sinter/error.h>

#include "ir/op.h"
#include "tests/ops/op_cases.h"

namespace sinter::test {

Domain real(double low, double high) { return {Domain::Kind::real, low, high}; }
Domain nonzero(double low, double high) { return {Domain::Kind::nonzero, low, high}; }
Domain distinct() { return {Domain::Kind::distinct}; }
Domain integers(int64_t low, int64_t high) {
  return {Domain::Kind::integer, static_cast<double>(low), static_cast<double>(high)};
}
Domain flags() { return {Domain::Kind::flag}; }
Domain index_into(int operand, int axis, std::optional<int64_t> ignored) {
  return {Domain::Kind::index, 0, 0, operand, axis, ignored};
}

Value Inputs::record(ir::OpKind kind, ir::Attrs attrs,
                     const std::optional<ir::Type>& declared) const {
  std::vector<ir::ValueId> ids;
  for (const Value& v : values) ids.push_back(detail::Recorder::resolve(v).second);
  ir::Builder b(recording->module, recording->func());
  return detail::Recorder::make(recording, b.create(kind, ids, std::move(attrs), declared));
}

namespace {

// Reads "f32[n, 7], [7]".
std::vector<ir::Type> parse_types(const std::string& text) {
  std::vector<ir::Type> out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t open = text.find('[', at), close = text.find(']', at);
    SINTER_CHECK(open != std::string::npos && close != std::string::npos, "sample {}", text);
    const std::string dtype = text.substr(at, open - at);
    const std::optional<DType> known = dtype_from_name(dtype.empty() ? "f32" : dtype);
    SINTER_CHECK(known.has_value(), "dtype {} in sample {}", dtype, text);
    ir::Type type{*known, {}};
    for (size_t i = open + 1; i < close;) {
      const size_t end = std::min(text.find(',', i), close);
      std::string dim = text.substr(i, end - i);
      const bool batch = dim.back() == 'n';
      if (batch) dim.pop_back();
      type.shape.emplace_back(dim.empty() ? 1 : std::stoll(dim), batch);
      i = std::min(text.find_first_not_of(", ", end), close);
    }
    out.push_back(std::move(type));
    at = std::min(text.find_first_not_of(", ", close + 1), text.size());
  }
  return out;
}

double draw_one(const Domain& d, std::mt19937_64& rng, int64_t i, int64_t limit) {
  const auto uniform = [&](double low, double high) {
    return static_cast<double>(
        static_cast<float>(std::uniform_real_distribution<double>(low, high)(rng)));
  };
  switch (d.kind) {
    case Domain::Kind::real:
      return uniform(d.low, d.high);
    case Domain::Kind::nonzero:
      return uniform(d.low, d.high) * (rng() % 2 ? 1 : -1);
    case Domain::Kind::distinct:
      return 0;  // drawn as a whole
    case Domain::Kind::integer:
      return static_cast<double>(std::uniform_int_distribution<int64_t>(
          static_cast<int64_t>(d.low), static_cast<int64_t>(d.high))(rng));
    case Domain::Kind::flag:
      return static_cast<double>(rng() % 2);
    case Domain::Kind::index:
      if (d.ignored && i % 3 == 1) return static_cast<double>(*d.ignored);
      return static_cast<double>(rng() % static_cast<uint64_t>(limit));
  }
  return 0;
}

// A shuffled grid around 0.
std::vector<double> draw_distinct(std::mt19937_64& rng, size_t count) {
  std::vector<double> out(count);
  for (size_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>((static_cast<double>(i) - static_cast<double>(count) / 2) * 0.125);
  }
  // Not std::shuffle: what it does with a generator is up to the library.
  for (size_t i = count; i > 1; --i) std::swap(out[i - 1], out[rng() % i]);
  return out;
}

}  // namespace

bool Case::follows_batch() const {
  const std::vector<ir::ValueInfo>& values = func().values;
  const bool typed = std::any_of(values.begin(), values.end(),
                                 [](const auto& v) { return v.type.follows_batch(); });
  // An extent may follow the batch although no value does.
  const bool counted = std::any_of(func().body.begin(), func().body.end(), [](const ir::Op& op) {
    const ir::AttrValue* of = op.attrs.find("of");
    if (!of) return false;
    const auto& shape = std::get<ir::Shape>(*of);
    return std::any_of(shape.begin(), shape.end(), [](const ir::Dim& d) { return d.batch; });
  });
  return typed || counted;
}

Case make_case(const Row& row, const std::string& sample) {
  Case out;
  out.row = &row;
  out.label = fmt::format("{} on {}", ir::def(row.op).name, sample);
  Inputs& in = out.inputs;
  in.types = parse_types(sample);
  in.recording = std::make_shared<detail::Recording>("case");
  SINTER_CHECK(in.types.size() >= row.domains.size(), "{} has too few types", out.label);
  for (size_t i = 0; i < row.domains.size(); ++i) {
    const ir::ValueId id = in.recording->add_argument({detail::Argument::Kind::input}, in.types[i],
                                                      fmt::format("x{}", i));
    in.values.push_back(detail::Recorder::make(in.recording, id));
  }
  try {
    out.result = row.build(in);
  } catch (const Error& e) {
    SINTER_CHECK(false, "{} cannot be built: {}", out.label, e.what());
  }
  out.module = module_for(*in.recording, {out.result});
  bool has_op = false;
  for (const ir::Op& op : out.func().body) has_op |= op.kind == row.op;
  SINTER_CHECK(has_op, "the row of {} does not build the op", out.label);
  return out;
}

ir::Module module_for(const detail::Recording& recording, const std::vector<Value>& results) {
  ir::Module out = recording.module;
  ir::Func& func = out.funcs.front();
  for (const Value& v : results) func.results.push_back(detail::Recorder::resolve(v).second);
  std::vector<bool> needed(func.values.size(), false);
  for (ir::ValueId v : func.results) needed[static_cast<size_t>(v.index)] = true;
  std::vector<ir::Op> body;
  for (size_t i = func.body.size(); i-- > 0;) {
    ir::Op& op = func.body[i];
    if (!needed[static_cast<size_t>(op.result.index)]) continue;
    for (ir::ValueId v : op.operands) needed[static_cast<size_t>(v.index)] = true;
    body.push_back(std::move(op));
  }
  std::reverse(body.begin(), body.end());
  func.body = std::move(body);
  ir::compact(func);
  return out;
}

std::vector<ir::Array<double>> draw(const Case& c, int64_t n, uint64_t seed) {
  std::mt19937_64 rng(seed * 1000003 + static_cast<uint64_t>(n));
  std::vector<ir::Array<double>> out;
  for (size_t i = 0; i < c.row->domains.size(); ++i) {
    const Domain& domain = c.row->domains[i];
    const ir::Type& type = c.inputs.types[i];
    ir::Array<double> array(type.dtype, type.dims(n));
    int64_t limit = 0;
    if (domain.kind == Domain::Kind::index) {
      const auto of = static_cast<size_t>(domain.operand), axis = static_cast<size_t>(domain.axis);
      limit = c.inputs.types[of].shape[axis].at(n);
    }
    std::vector<double> values(array.size());
    for (size_t k = 0; k < values.size(); ++k) {
      values[k] = draw_one(domain, rng, static_cast<int64_t>(k), limit);
    }
    if (domain.kind == Domain::Kind::distinct) values = draw_distinct(rng, values.size());
    for (size_t k = 0; k < values.size(); ++k) {
      if (array.floats()) {
        array.f[k] = values[k];
      } else {
        array.i[k] = static_cast<int64_t>(values[k]);
      }
    }
    out.push_back(std::move(array));
  }
  return out;
}

}  // namespace sinter::test
