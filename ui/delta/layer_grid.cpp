// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/delta/layer_grid.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace tenpak::ui {
namespace {

/// lupdate knows the context by this.
struct Tr {
    Q_DECLARE_TR_FUNCTIONS(LayerMap)
};

double halfRange(const delta::TensorEstimate& t) { return t.complete ? 0 : (t.high - t.low) / 2; }
bool isRead(const delta::TensorEstimate& t) { return t.complete || t.sampled_fraction > 0; }

/// Norms and biases are too small for a row each.
bool isSmall(const delta::TensorEstimate& t) { return t.shape.size() <= 1; }

bool isHead(const std::string& name) { return name.find("head") != std::string::npos || name.find("embed_out") != std::string::npos; }
bool isEmbedding(const std::string& name) {
    for (const char* word : {"embed", "wte", "wpe", "tok_embeddings"})
        if (name.find(word) != std::string::npos) return true;
    return false;
}

void add(GridCell& cell, const delta::EstimateSnapshot& s, std::uint32_t index, std::map<std::string, double>& methods) {
    const auto& t = s.tensors[index];
    const auto raw = static_cast<double>(t.raw_bytes);
    const double b = bitsPerWeight(t);
    if (isRead(t)) {
        cell.minBits = cell.readRaw > 0 ? std::min(cell.minBits, b) : b;
        cell.maxBits = std::max(cell.maxBits, b);
        cell.readRaw += raw;
        cell.estimated += t.estimated_bytes;
        cell.changed += t.changed_fraction * raw;
        cell.bitsOf += b * raw;
        const double half = halfRange(t);
        cell.variance += half * half;
        methods[t.method] += raw;
    }
    cell.sampled += (t.complete ? 1 : t.sampled_fraction) * raw;
    cell.raw += raw;
    cell.tensors.push_back(index);
}

void finish(GridCell& cell, const delta::EstimateSnapshot& s, const std::map<std::string, double>& methods) {
    if (cell.readRaw > 0) {
        cell.changed /= cell.readRaw;
        cell.bitsOf /= cell.readRaw;
    }
    if (cell.raw > 0) cell.sampled /= cell.raw;
    double most = -1;
    for (const auto& [method, bytes] : methods)
        if (bytes > most) {
            most = bytes;
            cell.method = QString::fromStdString(method);
        }
    cell.complete = std::all_of(cell.tensors.begin(), cell.tensors.end(), [&s](std::uint32_t i) { return s.tensors[i].complete; });
}

}  // namespace

double GridCell::spread() const { return complete || estimated <= 0 ? 0 : std::sqrt(variance) / estimated; }

double bitsPerWeight(const delta::TensorEstimate& t) {
    const double weights = static_cast<double>(t.raw_bytes) * 8 / dtype_bits(t.dtype);
    return weights > 0 ? t.estimated_bytes * 8 / weights : 0;
}

std::vector<std::uint32_t> largestTensors(const delta::EstimateSnapshot& s, std::size_t n) {
    std::vector<std::uint32_t> order(s.tensors.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&s](std::uint32_t a, std::uint32_t b) { return s.tensors[a].raw_bytes > s.tensors[b].raw_bytes; });
    if (order.size() > n) order.resize(n);
    return order;
}

double fullScaleBits(const LayerGrid& grid) {
    // By the bulk: one norm that was trained must not make all the rest pale.
    double bits = 0, raw = 0, most = 0;
    for (const GridCell& c : grid.cells) {
        if (!c.read()) continue;
        bits += c.bitsOf * c.readRaw;
        raw += c.readRaw;
        most = std::max(most, c.bitsOf);
    }
    if (raw <= 0) return 0;
    const double mean = bits / raw;
    return std::min(most, 4 * mean) <= 1 ? 1 : std::min(most, 2 * mean) <= 4 ? 4 : 16;
}

LayerGrid makeLayerGrid(const delta::EstimateSnapshot& s) {
    LayerGrid g;
    const QString small = Tr::tr("norms");
    bool anySmall = false;
    for (const auto& t : s.tensors) {
        g.layers = std::max(g.layers, t.layer + 1);
        g.partial = g.partial || !t.complete;
        if (t.layer < 0) continue;
        const QString row = QString::fromStdString(t.projection);
        if (isSmall(t)) anySmall = true;
        else if (!g.rows.contains(row)) g.rows.append(row);
    }
    if (anySmall) g.rows.append(small);
    if (g.layers == 0) return g;

    struct Building {
        GridCell cell;
        std::map<std::string, double> methods;
    };
    std::map<std::pair<int, int>, Building> inside;
    std::map<int, Building> outside;  // 0 left, 1 right
    for (std::uint32_t i = 0; i < s.tensors.size(); ++i) {
        const auto& t = s.tensors[i];
        if (t.layer >= 0) {
            const int row = isSmall(t) ? static_cast<int>(g.rows.size()) - 1 : static_cast<int>(g.rows.indexOf(QString::fromStdString(t.projection)));
            Building& b = inside[{t.layer, row}];
            b.cell.layer = t.layer;
            b.cell.row = row;
            add(b.cell, s, i, b.methods);
        } else if (!isSmall(t)) {
            const bool right = isHead(t.name) || !isEmbedding(t.name);
            Building& b = outside[right ? 1 : 0];
            b.cell.right = right;
            b.cell.label = right ? Tr::tr("head") : Tr::tr("embed");
            add(b.cell, s, i, b.methods);
        }  // the final norm is in the table only
    }
    std::vector<double> read(g.rows.size()), estimated(g.rows.size());
    for (auto& [key, b] : inside) {
        finish(b.cell, s, b.methods);
        read[static_cast<std::size_t>(b.cell.row)] += b.cell.readRaw;
        estimated[static_cast<std::size_t>(b.cell.row)] += b.cell.estimated;
    }
    g.columns.resize(static_cast<std::size_t>(g.layers));
    std::vector<double> variance(g.columns.size());
    for (auto& [key, b] : inside) {
        const GridCell& c = b.cell;
        const auto k = static_cast<std::size_t>(c.layer);
        GridColumn& column = g.columns[k];
        const auto row = static_cast<std::size_t>(c.row);
        const double unread = c.raw - c.readRaw;
        column.raw += c.raw;
        column.estimated += c.estimated;
        column.read = column.read || c.readRaw > 0;
        variance[k] += c.variance;
        if (unread > 0 && read[row] > 0) {  // counts with the mean of its projection and a wider range
            column.estimated += unread * estimated[row] / read[row];
            variance[k] += unread * unread * 0.04;
        }
        g.cells.push_back(std::move(b.cell));
    }
    for (std::size_t k = 0; k < g.columns.size(); ++k) {
        g.columns[k].halfRange = std::sqrt(variance[k]);
        g.largestLayer = std::max(g.largestLayer, g.columns[k].raw);
    }
    for (auto& [side, b] : outside) {
        finish(b.cell, s, b.methods);
        GridColumn& column = b.cell.right ? g.right : g.left;
        (b.cell.right ? g.hasRight : g.hasLeft) = true;
        column = {b.cell.raw, b.cell.readRaw > 0 ? b.cell.estimated * b.cell.raw / b.cell.readRaw : 0, std::sqrt(b.cell.variance), b.cell.readRaw > 0};
        g.cells.push_back(std::move(b.cell));
    }
    return g;
}

}  // namespace tenpak::ui
