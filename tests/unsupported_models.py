"""A model for each kind of element that is not simulated; the documentation's table is made from them too."""

LIMB = '<body><joint name="j"/><geom name="g" size="1"/><site name="s"/></body>'
BALL = '<body><joint name="j" type="ball"/><geom size="1"/></body>'
TWO = (
    '<body name="p"><joint name="j"/><geom name="g" size="1"/><site name="s"/></body>'
    '<body name="q" pos="5 0 0"><joint name="k"/><geom name="h" size="1"/><site name="t"/></body>'
)
BOXES = TWO.replace('size="1"', 'type="box" size="1 1 1"')
TENDON = '<tendon><fixed name="cord" {}><joint joint="j" coef="1"/></fixed></tendon>'
SPATIAL = '<tendon><spatial name="cord" {}><site site="s"/><site site="t"/></spatial></tendon>'
MUSCLE = "0.75 1.05 -1 200 0.5 1.6 1.5 1.3 1.2"


def document(body: str, rest: str = "", option: str = "") -> str:
    return f"<mujoco><option {option}/><worldbody>{body}</worldbody>{rest}</mujoco>"


def with_joint(attributes: str) -> str:
    return document(f'<body><joint name="j" {attributes}/><geom size="1"/></body>')


def with_actuator(element: str, body: str = LIMB) -> str:
    return document(body, f"<actuator>{element}</actuator>")


# element of the message -> a model with that element and no other that is not supported
UNSUPPORTED = {
    "integrator 'implicit'": document(LIMB, option='integrator="implicit"'),
    "option density": document(LIMB, option='density="1000"'),
    "option viscosity": document(LIMB, option='viscosity="0.1"'),
    "option flag sleep": "<mujoco><option><flag sleep='enable'/></option><worldbody>" + LIMB + "</worldbody></mujoco>",
    "joint 'j': polynomial stiffness": with_joint('stiffness="1 0.5"'),
    "joint 'j': polynomial damping": with_joint('damping="1 0.5"'),
    "joint 'j': actuatorgravcomp": with_joint('actuatorgravcomp="true"'),
    "joint 'j': springyield": with_joint('stiffness="1" springyield="0.3"'),
    "actuator 'a': transmission tendon": document(
        TWO, SPATIAL.format("") + '<actuator><motor name="a" tendon="cord"/></actuator>'
    ),
    "actuator 'a': transmission site": with_actuator('<motor name="a" site="s"/>'),
    "actuator 'a': transmission body": with_actuator('<adhesion name="a" body="p" ctrlrange="0 1"/>', TWO),
    "actuator 'a': jointinparent transmission on a ball": with_actuator('<motor name="a" jointinparent="j"/>', BALL),
    "actuator 'a': dyntype muscle": with_actuator('<general name="a" joint="j" dyntype="muscle" dynprm="0.01 0.04"/>'),
    "actuator 'a': gaintype muscle": with_actuator(
        f'<general name="a" joint="j" gaintype="muscle" gainprm="{MUSCLE}" lengthrange="0 1"/>'
    ),
    "actuator 'a': biastype muscle": with_actuator(
        f'<general name="a" joint="j" biastype="muscle" biasprm="{MUSCLE}" lengthrange="0 1"/>'
    ),
    "actuator 'a': gaintype pid": with_actuator('<pid name="a" joint="j" kp="1" input="pos"/>'),
    "actuator 'a': plugin": with_actuator('<plugin name="a" plugin="mujoco.pid" joint="j"/>').replace(
        "<worldbody>", '<extension><plugin plugin="mujoco.pid"/></extension><worldbody>'
    ),
    "actuator 'a': actearly": with_actuator('<general name="a" joint="j" dyntype="integrator" actearly="true"/>'),
    "actuator 'a': delay": with_actuator('<motor name="a" joint="j" delay="0.01" nsample="8"/>'),
    "actuator 'a': damping": with_actuator('<motor name="a" joint="j" damping="0.5"/>'),
    "actuator 'a': armature": with_actuator('<motor name="a" joint="j" armature="0.5"/>'),
    "tendon 'cord': limits (it is spatial)": document(TWO, SPATIAL.format('range="0 1" limited="true"')),
    "tendon 'cord': frictionloss (it is spatial)": document(TWO, SPATIAL.format('frictionloss="0.1"')),
    "tendon 'cord': stiffness (it is spatial)": document(TWO, SPATIAL.format('stiffness="2"')),
    "tendon 'cord': damping (it is spatial)": document(TWO, SPATIAL.format('damping="2"')),
    "tendon 'cord': polynomial stiffness": document(LIMB, TENDON.format('stiffness="2 1"')),
    "tendon 'cord': polynomial damping": document(LIMB, TENDON.format('damping="2 1"')),
    "tendon 'cord': springyield": document(LIMB, TENDON.format('stiffness="2" springyield="0.3"')),
    "tendon 'cord': actuatorfrcrange shared by several actuators": document(
        LIMB,
        TENDON.format('actuatorfrclimited="true" actuatorfrcrange="-1 1"')
        + '<actuator><motor tendon="cord"/><motor tendon="cord"/></actuator>',
    ),
    "tendon 'cord': armature": document(LIMB, TENDON.format('armature="2"')),
    "equality 'tie'": document(TWO, SPATIAL.format("") + '<equality><tendon name="tie" tendon1="cord"/></equality>'),
    "contact of geoms 'g' and 'h' (sphere and sdf)": document(
        '<geom name="g" type="sdf" mesh="ring"><plugin instance="ring"/></geom>'
        '<body><freejoint/><geom name="h" size="1"/></body>',
        '<asset><mesh name="ring"><plugin instance="ring"/></mesh></asset>',
    ).replace(
        "<worldbody>",
        '<extension><plugin plugin="mujoco.sdf.torus"><instance name="ring"><config key="radius1" value=".4"/>'
        '<config key="radius2" value=".1"/></instance></plugin></extension><worldbody>',
    ),
    "option flag override": document(LIMB, "<option><flag override='enable'/></option>"),
    "option flag diagexact": document(LIMB, "<option><flag diagexact='enable'/></option>"),
    "flex 'cloth'": document(
        '<flexcomp name="cloth" type="grid" count="2 2 1" spacing="1 1 1" radius="0.01" dim="2" mass="1">'
        '<contact contype="0" conaffinity="0" selfcollide="none"/></flexcomp>'
    ),
}
# Two bodies with geoms can collide: where that is not the point, switch contacts off.
WITHOUT_CONTACT = "<option><flag contact='disable'/></option>"


def unsupported_model(element: str) -> str:
    """The MJCF that has `element`, of `UNSUPPORTED`, and no other that is not simulated."""
    text = UNSUPPORTED[element]
    return text if element.startswith("contact") else text.replace("<worldbody>", WITHOUT_CONTACT + "<worldbody>", 1)
