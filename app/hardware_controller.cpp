// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/hardware_controller.h"

#include <QFileInfo>
#include <cmath>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/jobs/worker.h"
#include "core/optimizer/prices.h"

namespace tenpak::app {
namespace {

/// The user's table with the row's price replaced or the row added; other rows and unknown keys stay.
Status write_price(const fs::path& file, const optimizer::HardwarePrice& row) {
    Json table = {{"hardware", Json::array()}};
    std::error_code ec;
    if (fs::exists(file, ec)) {
        TENPAK_ASSIGN(const auto text, read_text_file(file, 1 << 20));
        TENPAK_ASSIGN(table, parse_json(text, file.string()));
        if (!table.is_object() || !table.contains("hardware") || !table["hardware"].is_array())
            return make_error(ErrorCode::kMalformed, "\"hardware\" is missing", file.string(), "Repair or delete this file");
    }
    Json* found = nullptr;
    for (Json& r : table["hardware"])
        if (r.is_object() && r.value("id", "") == row.id) found = &r;
    if (found == nullptr) {
        table["hardware"].push_back(Json::object());
        found = &table["hardware"].back();
    }
    (*found)["id"] = row.id;
    (*found)["name"] = row.name;
    (*found)["usd_per_hour"] = row.usd_per_hour;
    (*found)["source"] = row.source;
    (*found)["date"] = row.date;
    if (row.local) (*found)["local"] = true;
    fs::create_directories(file.parent_path(), ec);
    return write_file_atomic(file, as_bytes(table.dump(2) + "\n"));
}

}  // namespace

HardwareController::HardwareController(JobManager& jobs, Settings& settings, QString workerProgram, QObject* parent)
    : QObject(parent), m_jobs(jobs), m_settings(settings), m_worker(std::move(workerProgram)) {
    m_state.chip = tr("Looking at the hardware…");
    loadPrices();
}

void HardwareController::loadPrices() {
    const auto table = optimizer::load_price_table();
    if (table.ok()) {
        m_state.prices = *table;
    } else {
        emit failed(table.error());
        if (const auto builtin = optimizer::load_prices(optimizer::builtin_price_table(), "built-in prices"); builtin.ok()) m_state.prices = *builtin;
    }
    auto row = optimizer::find_price(m_state.prices, m_settings.priceId().toStdString());
    if (!row.ok()) row = optimizer::find_price(m_state.prices, {});
    m_state.priceId = row.ok() ? QString::fromStdString(row->id) : QString();
}

double HardwareController::pricePerHour() const {
    const auto row = optimizer::find_price(m_state.prices, m_state.priceId.toStdString());
    return row.ok() ? row->usd_per_hour : std::nan("");
}

void HardwareController::choosePrice(const QString& id) {
    if (id == m_state.priceId || !optimizer::find_price(m_state.prices, id.toStdString()).ok()) return;
    m_state.priceId = id;
    m_settings.setPriceId(id);
    emit changed();
    emit priceChanged();
}

void HardwareController::editPrice(const QString& id, double usdPerHour) {
    auto row = optimizer::find_price(m_state.prices, id.toStdString());
    if (!row.ok() || !(usdPerHour >= 0) || !std::isfinite(usdPerHour) || row->usd_per_hour == usdPerHour) return;
    row->usd_per_hour = usdPerHour;
    row->source = tr("entered here").toStdString();
    row->date = optimizer::today_utc();
    if (Status s = write_price(optimizer::user_price_file(), *row); !s.ok()) {
        emit failed(s.error());
        return;
    }
    loadPrices();
    emit changed();
    emit priceChanged();
}

void HardwareController::probe() {
    if (m_worker.isEmpty()) {
        m_state.chip = tr("The measuring program is missing");
        m_state.gpuReason = tr("The program tenpak is not beside the studio: estimates work, sweeps do not.");
        emit changed();
        return;
    }
    m_jobs.start<jobs::HardwareInfo>(
        {QStringLiteral("probe"), QString(), JobLane::kLight, false}, this,
        [worker = m_worker](const JobRun&) { return jobs::probe_hardware(fs::path(worker.toStdString())); },
        [this](Result<jobs::HardwareInfo> r) {
            if (!r.ok()) {
                m_state.chip = tr("Hardware not known");
                m_state.gpuReason = QString::fromStdString(r.error().text());
                emit changed();
                return;
            }
            m_state.chip = QString::fromStdString(r->summary());
            m_state.device = QString::fromStdString(r->gpu ? r->gpu_name : r->cpu);
            m_state.instructionSets = QString::fromStdString(r->instruction_sets);
            m_state.gpuReason = QString::fromStdString(r->gpu_reason);
            m_state.cores = static_cast<int>(r->cores);
            m_state.memoryBytes = r->memory_bytes;
            emit changed();
        });
}

}  // namespace tenpak::app
