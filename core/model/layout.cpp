// SPDX-License-Identifier: Apache-2.0
#include "core/model/layout.h"

#include "core/model/architectures/architecture.h"

namespace tenpak::model {

void LayerLayout::add(StoredLinear linear, std::initializer_list<std::pair<Projection, compute::RowMap>> of) {
    for (const auto& [part, rows] : of) parts[part] = {static_cast<int>(linears.size()), rows};
    linears.push_back(std::move(linear));
}

void LayerLayout::add(StoredLinear linear, Projection of) {
    const auto rows = compute::RowMap::range(0, linear.n);
    add(std::move(linear), {{of, rows}});
}

std::vector<std::vector<std::size_t>> LayerLayout::groups() const {
    std::vector<std::vector<std::size_t>> out;
    for (const auto& members : {std::vector<Projection>{kQ, kK, kV}, {kO}, {kGate, kUp}, {kDown}}) {
        std::vector<std::size_t> group;
        for (const Projection p : members) {
            if (parts[p].linear < 0) continue;
            const auto i = static_cast<std::size_t>(parts[p].linear);
            if (group.empty() || group.back() != i) group.push_back(i);
        }
        out.push_back(std::move(group));
    }
    return out;
}

LayerLayout layer_layout(const ModelConfig& config, std::uint32_t layer) { return config.family->layer(config, layer); }
ModelLayout model_layout(const ModelConfig& config) { return config.family->outer(config); }

}  // namespace tenpak::model
