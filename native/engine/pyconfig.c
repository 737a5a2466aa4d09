/* pyconfig.c: how a C host's Python is configured, and whether it is the right one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"

int
iso__python_version_check(iso_error *err)
{
    int major = 0, minor = 0;
    const char *running = Py_GetVersion(); /* allowed before initialisation */
    if (sscanf(running, "%d.%d", &major, &minor) != 2 || major != PY_MAJOR_VERSION || minor != PY_MINOR_VERSION)
        return iso__fail(err, ISO_EVERSION,
                         "this libisoexec is built for CPython %d.%d but the process runs libpython %.*s: install the "
                         "isoexec wheel of that Python or link libpython%d.%d",
                         PY_MAJOR_VERSION, PY_MINOR_VERSION, (int)strcspn(running, " "), running, PY_MAJOR_VERSION,
                         PY_MINOR_VERSION);
    return 0;
}

/* Cuts the last part of a path; false at its end. */
static bool
parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return false;
    *slash = '\0';
    return true;
}

static bool
object_path(void *symbol, char *path)
{
    Dl_info info;
    return dladdr(symbol, &info) != 0 && info.dli_fname != NULL && realpath(info.dli_fname, path) != NULL;
}

static bool
runnable(const char *format, const char *folder, char *out, size_t size)
{
    return snprintf(out, size, format, folder, PY_MAJOR_VERSION, PY_MINOR_VERSION) < (int)size &&
           access(out, X_OK) == 0;
}

static bool
folder_python(const char *folder, char *out, size_t size)
{
    return runnable("%s/bin/python%d.%d", folder, out, size) || runnable("%s/bin/python3", folder, out, size) ||
           runnable("%s/bin/python", folder, out, size);
}

/* The venv above libisoexec, for a host that says nothing: its packages are what the script expects. */
static bool
venv_of_library(char *venv)
{
    char probe[PATH_MAX + 16];
    if (!object_path((void *)iso_version, venv))
        return false;
    while (parent(venv)) {
        if (snprintf(probe, sizeof probe, "%s/pyvenv.cfg", venv) < (int)sizeof probe && access(probe, R_OK) == 0)
            return true;
    }
    return false;
}

static bool
python_of_libpython(char *out, size_t size)
{
    char folder[PATH_MAX];
    if (!object_path((void *)Py_GetVersion, folder))
        return false;
    for (int up = 0; up < 4 && parent(folder); up++) {
        if (folder_python(folder, out, size))
            return true;
    }
    return false;
}

/* A venv of another minor version has packages that this Python can not load. */
static int
check_venv(const char *venv, iso_error *err)
{
    char path[PATH_MAX + 16], line[512];
    snprintf(path, sizeof path, "%s/pyvenv.cfg", venv);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return iso__fail(err, ISO_ECONFIG, "venv: %s is no virtual environment (no readable pyvenv.cfg)", venv);
    int major = 0, minor = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "version", 7) == 0)
            sscanf(line, "%*[^=]= %d.%d", &major, &minor);
    }
    fclose(file);
    if (major != 0 && (major != PY_MAJOR_VERSION || minor != PY_MINOR_VERSION))
        return iso__fail(err, ISO_ECONFIG,
                         "venv: %s is for Python %d.%d, this host runs %d.%d: make it again with that", venv, major,
                         minor, PY_MAJOR_VERSION, PY_MINOR_VERSION);
    return 0;
}

/* executable decides sys.prefix and so the packages; without it a venv first on PATH would. */
static int
find_executable(const iso_config *config, char *out, size_t size, iso_error *err)
{
    char venv[PATH_MAX];
    out[0] = '\0';
    bool given = config->venv != NULL && config->venv[0] != '\0';
    if (given && realpath(config->venv, venv) == NULL)
        return iso__fail(err, ISO_ECONFIG, "venv: there is no folder %s", config->venv);
    if (given || venv_of_library(venv)) {
        int failed = check_venv(venv, err);
        if (failed && given)
            return failed;
        if (!failed && folder_python(venv, out, size))
            return 0;
        if (given)
            return iso__fail(err, ISO_ECONFIG, "venv: %s has no bin/python that runs", venv);
    }
    if (!python_of_libpython(out, size))
        out[0] = '\0';
    return 0;
}

static int
status_failure(PyStatus status, iso_error *err)
{
    return iso__fail(err, ISO_EINTERP, "Python could not start: %s (check python_home and venv)",
                     status.err_msg != NULL ? status.err_msg : "no reason given");
}

int
iso__python_initialize(const iso_config *settings, iso_error *err)
{
    char executable[PATH_MAX + 32];
    int failed = find_executable(settings, executable, sizeof executable, err);
    if (failed)
        return failed;
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1; /* SIP is UTF-8 whatever the host's locale is */
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return status_failure(status, err);
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.install_signal_handlers = 0; /* signals are the host's */
    if (executable[0] != '\0')
        status = PyConfig_SetBytesString(&config, &config.executable, executable);
    if (!PyStatus_Exception(status) && settings->python_home != NULL && settings->python_home[0] != '\0')
        status = PyConfig_SetBytesString(&config, &config.home, settings->python_home);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return PyStatus_Exception(status) ? status_failure(status, err) : 0;
}
