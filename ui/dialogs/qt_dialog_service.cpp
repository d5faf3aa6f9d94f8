// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/dialogs/qt_dialog_service.h"

#include <QDir>
#include <QFileDialog>
#include <QInputDialog>
#include <QMessageBox>
#include <QPushButton>

#include "app/pair_controller.h"

namespace tenpak::ui {
namespace {

using app::ChooserKind;

/// Takes a file, or a folder that holds a model: QFileDialog would step into the folder.
class ModelDialog : public QFileDialog {
    Q_OBJECT
   public:
    using QFileDialog::QFileDialog;

   protected:
    void accept() override {
        const QStringList files = selectedFiles();
        if (files.size() == 1 && QFileInfo(files.first()).isDir() && app::classifyPath(files.first()) != app::DroppedKind::kOther) {
            QDialog::accept();
            emit fileSelected(files.first());
            return;
        }
        QFileDialog::accept();
    }
};

QString filterOf(ChooserKind kind) {
    switch (kind) {
        case ChooserKind::kOpenModel: return QtDialogService::tr("Models (*.safetensors *.tnpk config.json)");
        case ChooserKind::kOpenQuantized: return QtDialogService::tr("Quantized models (*.safetensors *.gguf config.json)");
        case ChooserKind::kOpenArtifact:
        case ChooserKind::kSaveArtifact: return QtDialogService::tr("TenPak artifacts (*.tnpk)");
        case ChooserKind::kOpenProject:
        case ChooserKind::kSaveProject: return QtDialogService::tr("TenPak projects (*.tnpkproj)");
        case ChooserKind::kOpenText: return QtDialogService::tr("Texts (*.txt);;All files (*)");
        case ChooserKind::kSaveChart: return QtDialogService::tr("Pictures (*.png *.svg)");
        case ChooserKind::kOpenKey: return QtDialogService::tr("Keys (*.key *.pub *.pem *.secret);;All files (*)");
        case ChooserKind::kChooseFolder:
        case ChooserKind::kOpenFolder: return {};
    }
    return {};
}

QString suffixOf(ChooserKind kind) {
    switch (kind) {
        case ChooserKind::kSaveArtifact: return QStringLiteral("tnpk");
        case ChooserKind::kSaveProject: return QStringLiteral("tnpkproj");
        case ChooserKind::kSaveChart: return QStringLiteral("png");
        default: return {};
    }
}

}  // namespace

void QtDialogService::choosePath(const app::ChooserRequest& request, std::function<void(QString)> done) {
    const bool model = request.kind == ChooserKind::kOpenModel || request.kind == ChooserKind::kOpenQuantized;
    auto* dialog = model ? new ModelDialog(m_window) : new QFileDialog(m_window);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setObjectName(QStringLiteral("chooser"));
    dialog->setWindowTitle(request.title);
    dialog->setDirectory(request.startFolder);
    dialog->setNameFilter(filterOf(request.kind));
    const bool save = request.kind == ChooserKind::kSaveArtifact || request.kind == ChooserKind::kSaveProject || request.kind == ChooserKind::kSaveChart;
    // A folder to write to need not exist: it is named, like a file.
    if (save || request.kind == ChooserKind::kChooseFolder) {
        dialog->setAcceptMode(QFileDialog::AcceptSave);
        dialog->setFileMode(QFileDialog::AnyFile);
        dialog->setDefaultSuffix(suffixOf(request.kind));
        dialog->selectFile(request.suggestedName);
        if (request.kind == ChooserKind::kChooseFolder) {
            dialog->setLabelText(QFileDialog::FileName, tr("Folder"));
            dialog->setLabelText(QFileDialog::Accept, tr("Choose"));
        }
    } else {
        dialog->setAcceptMode(QFileDialog::AcceptOpen);
        dialog->setFileMode(request.kind == ChooserKind::kOpenFolder ? QFileDialog::Directory : QFileDialog::ExistingFile);
        if (request.kind == ChooserKind::kOpenFolder) dialog->setOption(QFileDialog::ShowDirsOnly);
    }
    // The toolkit's own dialog: it can take folders and files at once, and follows the theme.
    dialog->setOption(QFileDialog::DontUseNativeDialog);
    connect(dialog, &QDialog::finished, this, [dialog, model, done = std::move(done)](int result) {
        QString path = result == QDialog::Accepted && !dialog->selectedFiles().isEmpty() ? dialog->selectedFiles().first() : QString();
        // config.json or weights chosen inside a model's folder stand for the folder.
        if (model && QFileInfo(path).isFile() && !path.endsWith(QStringLiteral(".tnpk")) && !path.endsWith(QStringLiteral(".gguf")) &&
            QFileInfo::exists(QFileInfo(path).dir().filePath(QStringLiteral("config.json"))))
            path = QFileInfo(path).absolutePath();
        done(path);
    });
    dialog->open();
}

void QtDialogService::ask(const app::Question& question, std::function<void(int)> done) {
    auto* box = new QMessageBox(question.destructive ? QMessageBox::Warning : QMessageBox::Question, question.title, question.title, QMessageBox::NoButton, m_window);
    box->setAttribute(Qt::WA_DeleteOnClose);
    box->setObjectName(question.id);
    box->setInformativeText(question.body);
    QList<QAbstractButton*> buttons;
    for (int i = 0; i < question.buttons.size(); ++i) {
        const auto role = i == question.cancelButton ? QMessageBox::RejectRole : question.destructive && i == 0 ? QMessageBox::DestructiveRole : QMessageBox::AcceptRole;
        QPushButton* b = box->addButton(question.buttons[i], role);
        buttons.append(b);
        if (i == question.cancelButton) {
            box->setEscapeButton(b);
            if (question.destructive) box->setDefaultButton(b);
        }
    }
    connect(box, &QDialog::finished, this, [box, buttons, cancel = question.cancelButton, done = std::move(done)](int) {
        const auto i = buttons.indexOf(box->clickedButton());
        done(i >= 0 ? static_cast<int>(i) : cancel);
    });
    box->open();
}

void QtDialogService::askText(const QString& title, const QString& label, bool secret, std::function<void(QString)> done) {
    auto* dialog = new QInputDialog(m_window);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setObjectName(QStringLiteral("askText"));
    dialog->setWindowTitle(title);
    dialog->setLabelText(label);
    dialog->setTextEchoMode(secret ? QLineEdit::Password : QLineEdit::Normal);
    connect(dialog, &QDialog::finished, this, [dialog, done = std::move(done)](int result) {
        const QString text = dialog->textValue();
        done(result == QDialog::Accepted ? (text.isNull() ? QStringLiteral("") : text) : QString());
    });
    dialog->open();
}

}  // namespace tenpak::ui

#include "qt_dialog_service.moc"
