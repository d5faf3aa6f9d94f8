// SPDX-License-Identifier: GPL-3.0-or-later
// Jobs: states, progress, ETA, stop, queueing, results that come back once or not at all. The fake engine waits until the
// test releases it: no sleeps.
#include <QSignalSpy>
#include <QTest>
#include <semaphore>
#include <thread>

#include "app/eta.h"
#include "app/job_manager.h"

using namespace tenpak;
using namespace tenpak::app;
using State = Job::State;

namespace {

/// Work that reports `steps` and needs a release for each; hears "stop" like the engine does, every few milliseconds.
struct Engine {
    std::counting_semaphore<> release{0};
    std::atomic<int> done{0};
    std::function<Result<int>(const JobRun&)> work(int steps) {
        return [this, steps](const JobRun& run) -> Result<int> {
            for (int i = 0; i < steps; ++i) {
                while (!release.try_acquire_for(std::chrono::milliseconds(5))) TENPAK_RETURN_IF_ERROR(run.context().check());
                ++done;
                Progress p;
                p.phase = "compress";
                p.done = static_cast<std::uint64_t>(i) + 1;
                p.total = static_cast<std::uint64_t>(steps);
                run.context().report(p);
            }
            return steps;
        };
    }
};

}  // namespace

class JobsTest : public QObject {
    Q_OBJECT
   private slots:
    void aJobRunsReportsAndDelivers() {
        JobManager manager;
        Engine engine;
        std::optional<Result<int>> got;
        Job* job = manager.start<int>({QStringLiteral("compress"), QStringLiteral("Compress x")}, this, engine.work(4), [&](Result<int> r) { got = std::move(r); });
        QCOMPARE(job->state(), State::kQueued);
        engine.release.release(2);
        QTRY_COMPARE(job->fraction(), 0.5);
        QCOMPARE(job->state(), State::kRunning);
        QCOMPARE(job->row().phase, QStringLiteral("Compressing"));
        QVERIFY(manager.anyActive());
        QSignalSpy all(&manager, &JobManager::allFinished);
        engine.release.release(2);
        QTRY_COMPARE(job->state(), State::kDone);
        QTRY_VERIFY(got.has_value());
        QCOMPARE(got->value(), 4);
        QCOMPARE(all.size(), 1);
        QCOMPARE(manager.jobs().size(), 1);
        manager.clearFinished();
        QVERIFY(manager.jobs().isEmpty());
    }

    void stopSaysStoppingAtOnceAndDeliversCancelled() {
        JobManager manager;
        Engine engine;
        std::optional<Result<int>> got;
        Job* job = manager.start<int>({QStringLiteral("compress"), QString()}, this, engine.work(100), [&](Result<int> r) { got = std::move(r); });
        engine.release.release(1);
        QTRY_COMPARE(job->state(), State::kRunning);
        QElapsedTimer clock;
        clock.start();
        job->stop();
        QCOMPARE(job->state(), State::kStopping);
        QVERIFY(job->row().phase.startsWith(QStringLiteral("Stopping")));
        QTRY_COMPARE_WITH_TIMEOUT(job->state(), State::kStopped, 1000);
        QVERIFY2(clock.elapsed() < 500, "the engine did not hear the stop");
        QVERIFY(got.has_value() && !got->ok());
        QCOMPARE(got->error().code, ErrorCode::kCancelled);
    }

    void heavyJobsRunOneAfterTheOtherAndAWaitingOneStopsAtOnce() {
        JobManager manager;
        Engine first, second, third;
        int ended = 0;
        const auto count = [&](Result<int>) { ++ended; };
        Job* a = manager.start<int>({QStringLiteral("sweep"), QString()}, this, first.work(1), count);
        Job* b = manager.start<int>({QStringLiteral("compress"), QString()}, this, second.work(1), count);
        Job* c = manager.start<int>({QStringLiteral("rebuild"), QString()}, this, third.work(1), count);
        second.release.release(1);
        third.release.release(1);
        QTRY_COMPARE(a->state(), State::kRunning);
        QCOMPARE(b->state(), State::kQueued);
        b->stop();
        QTRY_COMPARE(b->state(), State::kStopped);
        QCOMPARE(ended, 1);
        QCOMPARE(second.done.load(), 0);
        first.release.release(1);
        QTRY_COMPARE(c->state(), State::kDone);
        QCOMPARE(ended, 3);
        QCOMPARE(second.done.load(), 0);
    }

    void lightJobsRunBesideHeavyOnes() {
        JobManager manager;
        Engine heavy, light;
        Job* a = manager.start<int>({QStringLiteral("sweep"), QString()}, this, heavy.work(1), [](Result<int>) {});
        Job* b = manager.start<int>({QStringLiteral("estimate"), QString(), JobLane::kLight}, this, light.work(1), [](Result<int>) {});
        light.release.release(1);
        QTRY_COMPARE(b->state(), State::kDone);
        QVERIFY(a->active());
        heavy.release.release(1);
        QTRY_COMPARE(a->state(), State::kDone);
    }

    void errorsAndExceptionsBecomeFailedRowsWithHints() {
        JobManager manager;
        Job* full = manager.start<int>({QStringLiteral("compress"), QString()}, this,
                                       [](const JobRun&) -> Result<int> { return make_error(ErrorCode::kNoSpace, "cannot write", "/x"); }, [](Result<int>) {});
        Job* memory = manager.start<int>({QStringLiteral("compress"), QString()}, this, [](const JobRun&) -> Result<int> { throw std::bad_alloc(); }, [](Result<int>) {});
        QTRY_COMPARE(memory->state(), State::kFailed);
        QCOMPARE(memory->error()->code, ErrorCode::kOutOfMemory);
        QCOMPARE(full->state(), State::kFailed);
        QCOMPARE(full->row().phase, QStringLiteral("The disk is full"));
        QVERIFY(!full->row().hint.isEmpty());
        QVERIFY(full->row().log.contains(QStringLiteral("cannot write")));
    }

    void noResultReachesADeadContext() {
        JobManager manager;
        Engine engine;
        auto context = std::make_unique<QObject>();
        bool called = false;
        Job* job = manager.start<int>({QStringLiteral("estimate"), QString()}, context.get(), engine.work(1), [&](Result<int>) { called = true; });
        context.reset();
        engine.release.release(1);
        QTRY_COMPARE(job->state(), State::kDone);
        QVERIFY(!called);
    }

    void onlyTheLatestPostOfAKeyIsDelivered() {
        JobManager manager;
        QList<int> seen;
        std::binary_semaphore posted{0}, go{0};
        manager.start<int>({QStringLiteral("estimate"), QString()}, this,
                           [&](const JobRun& run) -> Result<int> {
                               for (int i = 0; i < 1000; ++i) run.post("snapshot", [&seen, i] { seen.append(i); });
                               posted.release();
                               go.acquire();
                               return 0;
                           },
                           [](Result<int>) {});
        posted.acquire();
        QTRY_COMPARE(seen.size(), 1);
        QCOMPARE(seen[0], 999);
        go.release();
        QTRY_VERIFY(!manager.anyActive());
        QCOMPARE(seen.size(), 1);
    }

    void destroyingTheManagerJoinsRunningJobs() {
        Engine engine;
        std::atomic<bool> left{false};
        bool delivered = false;
        {
            JobManager manager;
            auto work = engine.work(10);
            Job* job = manager.start<int>({QStringLiteral("sweep"), QString()}, this,
                                          [&, work](const JobRun& run) -> Result<int> {
                                              auto r = work(run);
                                              left = true;
                                              return r;
                                          },
                                          [&](Result<int>) { delivered = true; });
            engine.release.release(1);
            QTRY_COMPARE(job->state(), State::kRunning);
        }
        QVERIFY(left);  // joined, not abandoned
        QCoreApplication::processEvents();
        QVERIFY(!delivered);
    }

    void pausedIsAKindOfStopped() {
        JobManager manager;
        Engine engine;
        Job* job = manager.start<int>({QStringLiteral("sweep"), QString()}, this, engine.work(2), [](Result<int>) {});
        job->setCanPause(true);
        engine.release.release(1);
        QTRY_COMPARE(job->fraction(), 0.5);
        job->stop(State::kPaused);
        QTRY_COMPARE(job->state(), State::kPaused);
        QVERIFY(job->row().canPause);
        manager.clearFinished();
        QCOMPARE(manager.jobs().size(), 1);  // a paused sweep is not finished
        manager.remove(job);
        QVERIFY(manager.jobs().isEmpty());
    }

    void etaSpeaksAfterThreeSamples() {
        Eta eta;
        eta.addSample(0, 0);
        eta.addSample(10, 1);
        QVERIFY(std::isnan(eta.secondsLeft(100)));
        eta.addSample(20, 2);
        QCOMPARE(eta.secondsLeft(100), 8.0);
        eta.addSample(20, 5);  // nothing moved: no sample
        QCOMPARE(eta.secondsLeft(100), 8.0);
        eta.addSample(0, 6);   // a new phase
        QVERIFY(std::isnan(eta.secondsLeft(100)));
    }
};

QTEST_GUILESS_MAIN(JobsTest)
#include "jobs_test.moc"
