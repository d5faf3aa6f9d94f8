// SPDX-License-Identifier: GPL-3.0-or-later
// Which tensor stands in which cell of the layer map, and the figures of a column. No painting: testable alone.
#pragma once
#include <QString>
#include <QStringList>
#include <vector>

#include "core/delta/estimate.h"

namespace tenpak::ui {

/// One cell: a projection of a layer, or a block outside the stack. Several tensors share it where they are small
/// (norms, biases) or many (experts).
struct GridCell {
    std::vector<std::uint32_t> tensors;  ///< indices into the snapshot
    int layer = -1, row = -1;            ///< -1 layer: outside the stack
    bool right = false;                  ///< outside: right of the layers (head) or left (embeddings)
    QString label;                       ///< outside: "embed", "head"
    // sums over its tensors
    double raw = 0, estimated = 0, variance = 0, readRaw = 0;  ///< variance of the estimate, bytes squared
    double changed = 0, sampled = 0;     ///< raw-weighted means: changed over what was read, sampled over all
    double minBits = 0, maxBits = 0;     ///< over its tensors
    QString method;                      ///< of most of its bytes
    bool complete = false;
    double bitsOf = 0;                   ///< stored bits a weight over what was read
    bool read() const { return readRaw > 0; }
    /// Half the 95 % range over the estimate; 0 when complete.
    double spread() const;
};

/// A bar above a column.
struct GridColumn {
    double raw = 0, estimated = 0, halfRange = 0;  ///< unread tensors count with their projection's mean
    bool read = false;
};

struct LayerGrid {
    QStringList rows;                    ///< projections in tensor order; norms and biases share the last
    int layers = 0;
    std::vector<GridCell> cells;
    std::vector<GridColumn> columns;     ///< one a layer
    GridColumn left, right;
    bool hasLeft = false, hasRight = false;
    double largestLayer = 0;             ///< raw bytes
    bool partial = false;                ///< something is not read whole
};

/// Bits per weight at the dark end of the map's scale: 1, 4 or 16. A merged adapter takes a tenth of a bit, and would be all pale on 16. 0 where
/// nothing was read yet.
double fullScaleBits(const LayerGrid& grid);

LayerGrid makeLayerGrid(const delta::EstimateSnapshot& snapshot);
/// The n largest tensors, for models without layers.
std::vector<std::uint32_t> largestTensors(const delta::EstimateSnapshot& snapshot, std::size_t n);

/// Stored bits per weight of a tensor, by its element size.
double bitsPerWeight(const delta::TensorEstimate& tensor);

}  // namespace tenpak::ui
