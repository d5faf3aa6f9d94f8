// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/error_text.h"

#include <QCoreApplication>
#include <array>

namespace tenpak::app {
namespace {

struct Row {
    ErrorCode code;
    const char* title;
    const char* hint;
};
// In the order of ErrorCode; a test walks all codes.
constexpr std::array<Row, kErrorCodeCount> kRows{{
    {ErrorCode::kInvalidArgument, QT_TRANSLATE_NOOP("errors", "This cannot be done that way"),
     QT_TRANSLATE_NOOP("errors", "Change the choice that is named and try again.")},
    {ErrorCode::kNotFound, QT_TRANSLATE_NOOP("errors", "Something is missing"),
     QT_TRANSLATE_NOOP("errors", "Check that the file or folder is still where it was.")},
    {ErrorCode::kIo, QT_TRANSLATE_NOOP("errors", "Reading or writing failed"),
     QT_TRANSLATE_NOOP("errors", "Check that the drive is connected and healthy, then try again.")},
    {ErrorCode::kNoSpace, QT_TRANSLATE_NOOP("errors", "The disk is full"),
     QT_TRANSLATE_NOOP("errors", "Free some space or choose another folder. Nothing half-written was left behind.")},
    {ErrorCode::kPermission, QT_TRANSLATE_NOOP("errors", "Not allowed here"),
     QT_TRANSLATE_NOOP("errors", "Choose a folder that you may write to, or change its permissions.")},
    {ErrorCode::kMalformed, QT_TRANSLATE_NOOP("errors", "The file is damaged or not what it says"),
     QT_TRANSLATE_NOOP("errors", "Get the file again from where it came.")},
    {ErrorCode::kUnsupported, QT_TRANSLATE_NOOP("errors", "This kind of file is not supported yet"),
     QT_TRANSLATE_NOOP("errors", "Choose another file, or look for a newer version of this program.")},
    {ErrorCode::kMismatch, QT_TRANSLATE_NOOP("errors", "These two do not belong together"),
     QT_TRANSLATE_NOOP("errors", "Choose the base that the fine-tune was made from.")},
    {ErrorCode::kWrongBase, QT_TRANSLATE_NOOP("errors", "This is not the base that the artifact was made from"),
     QT_TRANSLATE_NOOP("errors", "Choose the base with the recorded fingerprint.")},
    {ErrorCode::kIntegrity, QT_TRANSLATE_NOOP("errors", "The contents are damaged"),
     QT_TRANSLATE_NOOP("errors", "Get the artifact again. Do not use this copy.")},
    {ErrorCode::kSignature, QT_TRANSLATE_NOOP("errors", "The signature does not hold"),
     QT_TRANSLATE_NOOP("errors", "Check the key, and ask whoever sent the artifact.")},
    {ErrorCode::kNumeric, QT_TRANSLATE_NOOP("errors", "A number is not finite"),
     QT_TRANSLATE_NOOP("errors", "The model's weights hold NaN or infinity: get or train it again.")},
    {ErrorCode::kOutOfMemory, QT_TRANSLATE_NOOP("errors", "Not enough memory"),
     QT_TRANSLATE_NOOP("errors", "Close other programs, or use a smaller model or a smaller batch.")},
    {ErrorCode::kCancelled, QT_TRANSLATE_NOOP("errors", "Stopped"),
     QT_TRANSLATE_NOOP("errors", "Start it again whenever you like.")},
    {ErrorCode::kNoCandidate, QT_TRANSLATE_NOOP("errors", "No candidate passes the limits"),
     QT_TRANSLATE_NOOP("errors", "Allow more in one of the limits, or add candidates.")},
    {ErrorCode::kWorkerCrashed, QT_TRANSLATE_NOOP("errors", "The measuring process ended unexpectedly"),
     QT_TRANSLATE_NOOP("errors", "Retry the candidate. The other results are kept.")},
    {ErrorCode::kTimeout, QT_TRANSLATE_NOOP("errors", "No answer in time"),
     QT_TRANSLATE_NOOP("errors", "Retry when the machine is less busy.")},
    {ErrorCode::kInternal, QT_TRANSLATE_NOOP("errors", "A defect of this program"),
     QT_TRANSLATE_NOOP("errors", "Copy the details and report them. Your files are unchanged.")},
}};

const Row& rowOf(ErrorCode code) {
    for (const Row& r : kRows)
        if (r.code == code) return r;
    return kRows.back();
}
QString clean(const std::string& s) {
    QString q = QString::fromUtf8(s.data(), static_cast<qsizetype>(s.size()));
    for (QChar& c : q)
        if (c.category() == QChar::Other_Control) c = u' ';
    return q;
}

}  // namespace

QString errorTitle(ErrorCode code) { return QCoreApplication::translate("errors", rowOf(code).title); }
QString errorHint(ErrorCode code) { return QCoreApplication::translate("errors", rowOf(code).hint); }

QString errorBody(const Error& error) {
    QString s = clean(error.what);
    if (!s.isEmpty()) s[0] = s[0].toUpper();
    if (!error.where.empty()) s += QStringLiteral(" (") + clean(error.where) + u')';
    if (!s.isEmpty() && !s.endsWith(u'.')) s += u'.';
    return s;
}

ErrorText errorText(const Error& error) {
    ErrorText t;
    t.title = errorTitle(error.code);
    t.body = errorBody(error);
    t.hint = error.hint.empty() ? errorHint(error.code) : clean(error.hint);
    if (!t.hint.endsWith(u'.')) t.hint += u'.';
    t.details = QStringLiteral("error[%1]: %2").arg(QLatin1String(error_code_name(error.code)), clean(error.text()));
    return t;
}

}  // namespace tenpak::app
